import { sharedRedisUrl } from '@longshore/testkit'
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

test('the second task of a named workspace waits without a slot, through the restart of every worker, until nothing is left of the first', async () => {
  const first = await stack.worker({ concurrency: 1 })
  const go = join(stack.root, 'go')
  const workspace = { name: 'app' }
  const one = await stack.submit(`echo one; until [ -e ${go} ]; do sleep 0.05; done`, { workspace })
  await stack.until(one.id, 'running')
  const two = await stack.submit('echo two', { workspace })
  const three = await stack.submit('echo three', { workspace })
  await first.stop()
  await stack.worker({ concurrency: 2 })
  const free = await stack.submit('echo free')
  expect(await stack.until(free.id, 'completed')).toMatchObject({ result: { output: 'free\n' } })
  expect([(await stack.get(two.id)).state, (await stack.get(three.id)).state]).toEqual(['queued', 'queued'])
  await expect(access(go)).rejects.toThrow('ENOENT')
  await writeFile(go, '')
  const ended = [await stack.until(one.id, 'completed'), await stack.until(two.id, 'completed'), await stack.until(three.id, 'completed')]
  const [a, b, c] = ended.map(({ started_at = 0, ended_at = 0 }) => ({ started_at, ended_at }))
  expect([(b?.started_at ?? 0) >= (a?.ended_at ?? 0), (c?.started_at ?? 0) >= (b?.ended_at ?? 0)]).toEqual([true, true])
  expect(ended.map(({ ticket }) => ticket).slice(1)).toEqual([1, 1])
})

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { freePort, waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { aSecret } from '../testing/hook-receiver.ts'
import { ends } from '../testing/world.ts'
import { postHook } from './post-hook.ts'
import { createSign } from './sign-hook.ts'

const guide = readFileSync(join(import.meta.dirname, '../../../../docs/guides/webhooks.md'), 'utf8')
const example = /```js\n(.*?)```/s.exec(guide)?.[1] ?? ''

test('the guide\'s receiver takes our hooks, each fact once, and refuses what was not signed by us', async () => {
  const [secret, port] = [aSecret(), await freePort()]
  const child = spawn(process.execPath, ['--input-type=module'], { cwd: join(import.meta.dirname, '../..'), env: { PATH: process.env['PATH'], WEBHOOK_SECRET: secret, PORT: String(port) }, stdio: ['pipe', 'pipe', 'inherit'] })
  ends({ stop: () => Promise.resolve(child.kill('SIGKILL')) })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stdin.end(example)
  await waitFor(() => output.includes('listening'), { what: 'the example' })
  const post = (id: string, by: string, body = JSON.stringify({ type: 'task.completed', data: { task_id: `of-${id}`, status: 'completed' } })) =>
    postHook(new URL(`http://127.0.0.1:${port}/`), createSign([aSecret(), by])(id, new Date(), body), body, { lookup: undefined, timeoutMs: 30_000, signal: new AbortController().signal })
  expect([await post('a', secret), await post('a', secret), await post('b', secret)]).toMatchObject([{ status: 204 }, { status: 204 }, { status: 204 }])
  expect(await post('c', aSecret())).toMatchObject({ status: 400 })
  await waitFor(() => output.includes('of-b completed'), { what: 'what it said' })
  expect(output.trim().split('\n').slice(1)).toEqual(['task.completed of-a completed', 'task.completed of-b completed'])
})

import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { type BackendCapabilities, CHOICES } from '@longshore/contracts'
import { createHeartbeats } from '@longshore/queue'

import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const capabilities: BackendCapabilities = { isolation: 'process', adopt: true, resume: false, steer: false, ask: false, pause: false, usage: false, files: false }
const profiles = (...names: string[]) => new Map(names.map((name) => [name, { capabilities, choices: [...CHOICES] }]))

test('a task goes to a worker that has its profile, whoever gets its ticket first', async () => {
  await stack.worker({ name: 'without', backends: [createShellBackend('docker', stack.root, { profiles: profiles('opencode') })] })
  const task = await stack.submit('echo done', { profile: 'special' })
  const plain = await stack.submit('echo plain')
  await stack.until(plain.id, 'completed') // it takes what it has
  expect((await stack.get(task.id)).state).toBe('queued')
  await stack.worker({ name: 'with', backends: [createShellBackend('docker', stack.root, { profiles: profiles('opencode', 'special') })] })
  const over = await stack.until(task.id, 'completed')
  expect(over).toMatchObject({ worker: 'with', attempt: 1 })
})

test('G14: permissions of a task are kept or refused, never left unheeded', async () => {
  await stack.worker({ name: 'a' })
  const task = await stack.submit('echo done', { permissions: { bash: 'deny' } })
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'failed', failure: { code: 'not_allowed', message: expect.stringContaining('permissions') as string }, attempt: 1 })
})

test('a heartbeat says which profiles there are, and what a task may choose of each', async () => {
  await stack.worker({ name: 'a', backends: [createShellBackend('docker', stack.root, { profiles: profiles('opencode', 'special') })] })
  const worker = await waitFor(async () => (await createHeartbeats(stack.redis, stack.deployment).list())[0], { what: 'the heartbeat' })
  expect(worker.modes[0]?.profiles?.map(({ name, choices }) => `${name}: ${choices.join()}`)).toEqual(['opencode: model,image,cpu,memory_mb,env', 'special: model,image,cpu,memory_mb,env'])
})

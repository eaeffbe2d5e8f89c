import { sharedRedisUrl } from '@longshore/testkit'
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { taskIdFrom } from '@longshore/contracts'

import { startStack, type TestStack } from './testing/stack.ts'
import { KILL_POINTS, type SubmitConfig } from './testing/submit-process.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const aTask = (prompt: string) => ({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt, title: 'a task', mode: 'docker', idempotency_key: 'the key' })

function submitting(task: object, killAt: SubmitConfig['killAt']): Promise<NodeJS.Signals | null> {
  const config: SubmitConfig = { redisUrl: stack.redisUrl, deployment: stack.deployment, task, killAt }
  const child = fork(new URL('testing/submit-process.ts', import.meta.url), [JSON.stringify(config)])
  return new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
}

test.each(KILL_POINTS)('G1, G2: a submit that dies %s: one task, run once, and the same key gets that task', async (killAt) => {
  const prompt = `echo ran >> ${join(stack.root, 'runs')}`
  expect(await submitting(aTask(prompt), killAt)).toBe(killAt === 'never' ? null : 'SIGKILL')
  const accepted = (await stack.ledger.list({ limit: 10 })).length
  expect(accepted).toBe(killAt === 'before submit' ? 0 : 1)
  const worker = await stack.worker()
  // The caller never heard an answer and tries again, with the key; the id is a new one.
  expect(await submitting(aTask(prompt), 'never')).toBeNull()
  const tasks = await stack.ledger.list({ limit: 10 })
  expect(tasks).toHaveLength(1)
  const over = await stack.until(tasks[0]?.id ?? '', 'completed')
  expect(await submitting(aTask(prompt), 'never')).toBeNull()
  await worker.stop()
  const [listed, ...others] = await stack.ledger.list({ limit: 10 })
  expect([{ ...listed, prompt }, ...others]).toEqual([over])
  expect(await readFile(join(stack.root, 'runs'), 'utf8')).toBe('ran\n')
  expect(over).toMatchObject({ attempt: 1, ticket: 1 })
  expect(await stack.ledger.pendingTickets(10)).toEqual([])
})

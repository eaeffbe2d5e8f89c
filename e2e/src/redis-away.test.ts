import { randomUUID } from 'node:crypto'

import { waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { refusal, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ gateways: 2, workers: 0, notifiers: 1 })
})
afterAll(() => stack.stop())
showLogsOfFailures(() => stack)

test('while Redis is away a submit is refused readably, and the gateways recover by themselves', async () => {
  const idempotency_key = randomUUID()
  const before = await stack.alice.submit('before')
  await stack.redis.kill9()

  const refused = await refusal(stack.alice.submit('meanwhile', { idempotency_key }))
  expect(refused).toMatchObject({ status: 503, code: 'unavailable' })
  expect(refused.next).toContain('again')
  await expect(stack.mcp('a 2.x client in the legacy era').call('opencode_execute_task', { task_description: 'meanwhile' })).rejects.toThrow(/unavailable|503/)
  for (const gateway of stack.apps('gateway')) {
    expect((await fetch(`${gateway.url}/health`)).status).toBe(200)
    const ready = await fetch(`${gateway.url}/ready`)
    expect(ready.status).toBe(503)
    expect(await ready.text()).toContain('not reachable')
  }

  await stack.redis.restart()
  await waitFor(async () => (await Promise.all(stack.apps('gateway').map(async ({ url }) => (await fetch(`${url}/ready`)).ok))).every(Boolean), { what: 'the gateways to recover' })
  expect(await stack.alice.status(before.task_id)).toMatchObject({ status: 'queued' })
  expect(await stack.alice.submit('meanwhile', { idempotency_key })).toMatchObject({ is_new: true, status: 'queued' })
  expect(stack.apps('gateway')).toHaveLength(2)
  expect(stack.apps('notifier')).toHaveLength(1)
})

test('a Redis that hangs does not make callers hang', async () => {
  stack.redis.stall()
  try {
    const asked = await Promise.race([refusal(stack.alice.submit('now')), new Promise((resolve) => setTimeout(resolve, 15_000, 'no answer in 15 s'))])
    expect(asked).toMatchObject({ code: 'unavailable' })
  } finally {
    stack.redis.cont()
  }
})

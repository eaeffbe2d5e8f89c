import { randomUUID } from 'node:crypto'

import { describeNeeding } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectWholeLog, nothingLeftOf, refusal, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

describe('a submit, at any of two gateways, with no worker there', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 0 })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  test('G2: twenty submits with one key at once, at both gateways, make one task', async () => {
    const idempotency_key = randomUUID()
    const answers = await Promise.all(Array.from({ length: 20 }, () => stack.alice.submit('do it once', { idempotency_key })))
    expect(new Set(answers.map(({ task_id }) => task_id)).size).toBe(1)
    expect(answers.filter(({ is_new }) => is_new)).toHaveLength(1)
  })

  test('G2: another agent with the same key has a task of its own; the same agent with other input is refused', async () => {
    const idempotency_key = randomUUID()
    const [alices, bobs] = await Promise.all([stack.alice.submit('mine', { idempotency_key }), stack.bob.submit('mine', { idempotency_key })])
    expect(alices.task_id).not.toBe(bobs.task_id)
    expect(bobs.is_new).toBe(true)
    expect(await refusal(stack.alice.submit('something else', { idempotency_key }))).toMatchObject({ status: 409, code: 'idempotency_conflict' })
  })

  test('G2: a refused submit leaves its key free', async () => {
    const idempotency_key = randomUUID()
    expect(await refusal(stack.alice.submit('fine', { idempotency_key, timeout_ms: -1 }))).toMatchObject({ status: 400, code: 'invalid_input' })
    expect(await stack.alice.submit('fine', { idempotency_key })).toMatchObject({ is_new: true, status: 'queued' })
  })

  test('G1, G2: a task that was accepted is there after SIGKILL of every process, Redis included, and its key still finds it', async () => {
    const idempotency_key = randomUUID()
    const { task_id } = await stack.alice.submit('survive', { idempotency_key })
    await Promise.all([stack.redis.kill9(), stack.endApps('SIGKILL')])
    await stack.redis.restart()
    await Promise.all([stack.add('gateway'), stack.add('gateway')])

    expect(await stack.alice.status(task_id)).toMatchObject({ task_id, status: 'queued' })
    expect(await stack.alice.submit('survive', { idempotency_key })).toMatchObject({ task_id, is_new: false })
    expect((await stack.alice.events(task_id)).map(({ seq, type }) => ({ seq, type }))).toEqual([{ seq: 1, type: 'task.queued' }])
  })
})

describeNeeding('opencode', 'a submit over the whole life of its task', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 0 })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  test('G1, G2: queued while everything is killed, then run to its end, and its key finds it all along', { timeout: 240_000 }, async () => {
    const idempotency_key = randomUUID()
    const again = (): ReturnType<Stack['alice']['submit']> => stack.alice.submit('[[say Still here.]]', { idempotency_key, mode: 'opencode' })
    const { task_id } = await again()
    await Promise.all([stack.redis.kill9(), stack.endApps('SIGKILL')])
    await stack.redis.restart()
    await Promise.all([stack.add('gateway'), stack.add('gateway'), stack.add('worker')])

    await stack.alice.until(task_id, ['running', 'completed'])
    expect(await again()).toMatchObject({ task_id, is_new: false })
    expect(await stack.alice.untilCompleted(task_id)).toMatchObject({ attempt: 1 })
    expect(await again()).toMatchObject({ task_id, is_new: false, status: 'completed' })
    expectWholeLog(await stack.alice.events(task_id))
    await nothingLeftOf(task_id, { engineSocket: undefined })
  })
})

import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { Queue, Worker } from 'bullmq'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { SILENT, type Task, ticketId } from '@longshore/contracts'
import { queueKeys, queueName, reconcileTickets } from '@longshore/queue'
import { connectRedis } from '@longshore/runtime'

import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
let queue: Queue
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
  queue = new Queue(queueName('docker'), { connection: stack.redis, prefix: queueKeys(stack.deployment).prefix })
  queue.on('error', () => undefined)
})
afterEach(async () => {
  await queue.close()
  await stack.stop()
})

const firstTicket = (task: Task) => ticketId({ task_id: task.id, n: 1 })
async function waiting(prompt = 'echo done'): Promise<Task> {
  const task = await stack.submit(prompt)
  await waitFor(() => queue.getJob(firstTicket(task)), { what: 'the ticket' })
  return task
}

describe('a task whose ticket is lost gets the next one and completes', () => {
  test('deleted before any worker was there', async () => {
    const task = await waiting()
    await queue.remove(firstTicket(task))
    await stack.worker()
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, ticket: 2 })
    const reasons = (await stack.events(task.id)).flatMap((event) => (event.known && event.type === 'task.queued' ? [event.payload.reason] : []))
    expect(reasons).toEqual(['submitted', 'ticket_lost'])
  })

  test('failed by hand', async () => {
    const task = await waiting()
    const hand = new Worker(queueName('docker'), null, { connection: stack.redis, prefix: queueKeys(stack.deployment).prefix, autorun: false })
    const job = await hand.getNextJob('by-hand')
    await job.moveToFailed(new Error('by hand'), 'by-hand')
    await stack.worker()
    expect(await stack.until(task.id, 'completed')).toMatchObject({ ticket: 2 })
    await hand.close()
  })

  test('gone with its whole queue', async () => {
    const tasks = await Promise.all(Array.from({ length: 20 }, () => stack.submit('echo done')))
    await queue.obliterate({ force: true })
    await stack.worker()
    for (const { id } of tasks) expect(await stack.until(id, 'completed')).toMatchObject({ attempt: 1 })
  })

  test('gone with its whole queue while it runs: the execution is adopted, not started again', async () => {
    await stack.worker()
    const task = await stack.submit('echo begun; sleep 6; echo ended')
    await waitFor(async () => (await stack.types(task.id)).includes('task.output'), { what: 'the task to run' })
    await queue.obliterate({ force: true })
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, result: { output: 'begun\nended\n' } })
  })
})

test('a ticket that is in the queue is never replaced, however often the reconciler looks', async () => {
  const redis = connectRedis(stack.redisUrl, 'background', SILENT)
  let reissued = 0
  let looked = 0
  const ledger = { ...stack.ledger, liveTickets: (...args: Parameters<typeof stack.ledger.liveTickets>) => {
    looked += 1
    return stack.ledger.liveTickets(...args)
  } }
  const task = await waiting()
  const delayed = await stack.submit('echo later')
  const reconciler = reconcileTickets({ ledger, redis, deployment: stack.deployment, name: 'r', log: SILENT, everyMs: 20, onReissued: () => (reissued += 1) })
  await waitFor(() => looked > 10, { what: 'ten rounds' })
  await reconciler.stop()
  redis.disconnect()
  expect(reissued).toBe(0)
  expect(await stack.get(task.id)).toMatchObject({ ticket: 1 })
  expect(await stack.get(delayed.id)).toMatchObject({ ticket: 1 })
})

test('buttons on an old ticket do nothing: retry, promote and remove after its task has moved on', async () => {
  const task = await waiting('echo once')
  await queue.remove(firstTicket(task))
  await stack.worker()
  const over = await stack.until(task.id, 'completed')
  const seq = over.seq
  const current = await waitFor(() => queue.getJob(ticketId({ task_id: task.id, n: 2 })), { what: 'the ended ticket' })
  await waitFor(() => current.isCompleted(), { what: 'the ticket to be completed' })
  await current.retry('completed')
  await queue.add('an old one', { v: 1, task_id: task.id, n: 1, agent_id: 'agent-a', mode: 'docker', title: 'a task', min_worker: 1 }, { jobId: firstTicket(task), delay: 60_000 })
  await (await queue.getJob(firstTicket(task)))?.promote()
  await waitFor(async () => Object.values(await queue.getJobCounts('waiting', 'delayed', 'active')).every((count) => count === 0) && (await current.isCompleted()), { what: 'both to be worked off' })
  await queue.remove(firstTicket(task))
  expect(await stack.get(task.id)).toMatchObject({ state: 'completed', seq, claim: over.claim })
})

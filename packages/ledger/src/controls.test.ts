import { beforeEach, expect, test } from 'vitest'

import { type Mail, MAX_WAITING_MESSAGES, type Task } from '@longshore/contracts'

import { ClaimLost, type Ledger } from './ledger.ts'
import { aHandle, claimOf, completed, connect, ticket, type World } from './testing/world.ts'

const open = connect()
let world: World
let ledger: Ledger
beforeEach(() => {
  world = open()
  ledger = world.ledger
})
const mail = (message_id: string, more: Partial<Mail> = {}): Mail => ({ message_id, message_type: 'guidance', by: 'op', text: `look at "${message_id}"`, ...more })
const set = (task: Task, field: string, by: number) => world.redis.hincrby(world.keys.task(task.id), field, by)
const payloads = async (task: Task, type: string) => (await world.events(task)).filter((event) => event.type === type).map(({ payload }) => payload)
async function paused(task: Task): Promise<Task> {
  await ledger.pause(task.id, 'op', 'for the night')
  return ledger.requeue(claimOf(task), { reason: 'resume' })
}

test('a queued task is paused without a worker: its ticket does nothing, and a new one comes with the resume', async () => {
  const task = await world.submitted()
  expect(await ledger.pause(task.id, 'op', 'later')).toMatchObject({ outcome: 'paused', before: 'queued', task: { state: 'paused', paused_at: expect.any(Number) as number } })
  expect(await payloads(task, 'task.paused')).toEqual([{ by: 'op', reason: 'later' }])
  expect(await ledger.pendingTickets(10)).toEqual([])
  expect(await ledger.take(ticket(task), 'w')).toEqual({ kind: 'nothing', reason: 'not_runnable' })
  const resumed = await ledger.resume(task.id, 'agent-a')
  expect(resumed).toMatchObject({ outcome: 'resumed', before: 'paused', task: { state: 'queued' }, ticket: { task_id: task.id, n: 2 } })
  expect((await payloads(task, 'task.queued')).at(-1)).toMatchObject({ reason: 'resume', by: 'agent-a', ticket: 2 })
  expect(await ledger.take(ticket(task), 'w')).toMatchObject({ reason: 'stale_ticket' })
  expect((await world.taken(await world.now(task.id), 'w')).attempt).toBe(1)
})

test('pause, resume and cancel asked twice, or of what is over, change nothing and say so', async () => {
  const task = await world.submitted()
  expect(await ledger.resume(task.id, 'op')).toMatchObject({ outcome: 'unchanged', before: 'queued' })
  await ledger.pause(task.id, 'op')
  expect(await ledger.pause(task.id, 'op')).toMatchObject({ outcome: 'unchanged', before: 'paused' })
  expect(await ledger.cancel(task.id, 'op')).toMatchObject({ outcome: 'ended', before: 'paused' })
  for (const answer of [ledger.pause(task.id, 'op'), ledger.resume(task.id, 'op'), ledger.post(task.id, mail('m1'))]) expect(await answer).toMatchObject({ outcome: 'already_over', before: 'cancelled' })
  expect(await world.types(task)).toEqual(['task.queued', 'task.paused', 'task.cancelled'])
  const gone = 'task-00000000000000000000000000' as Task['id']
  expect(await Promise.all([ledger.pause(gone, 'op'), ledger.resume(gone, 'op'), ledger.post(gone, mail('m1'))])).toEqual([undefined, undefined, undefined])
})

test('the owner carries a pause out: the claim is dead, what the handle names is kept, and the next take goes on in the same attempt', async () => {
  const task = await world.running()
  await ledger.saveHandle(claimOf(task), { ...aHandle, checkpoint: true })
  expect(await ledger.pause(task.id, 'op')).toMatchObject({ outcome: 'requested', before: 'running', task: { pause_requested: { by: 'op' } } })
  expect(await ledger.requests(claimOf(task))).toMatchObject({ pause: { by: 'op' }, messages: 0 })
  expect(await ledger.requeue(claimOf(task), { reason: 'resume' })).toMatchObject({ state: 'paused' })
  await expect(ledger.append(claimOf(task), [])).rejects.toThrow(ClaimLost)
  expect(await world.now(task.id)).not.toHaveProperty('pause_requested')
  await ledger.resume(task.id, 'op')
  expect(await ledger.take(ticket(await world.now(task.id)), 'w2')).toMatchObject({ kind: 'taken', takeover: true, task: { attempt: 1, handle: { checkpoint: true } } })
  expect(await world.types(task)).toEqual(['task.queued', 'task.started', 'task.paused', 'task.queued'])
})

test('a pause that is taken back before its owner stopped costs nothing but the stop', async () => {
  const task = await world.running()
  await ledger.pause(task.id, 'op')
  expect(await ledger.resume(task.id, 'op')).toMatchObject({ outcome: 'withdrawn', before: 'running' })
  expect(await ledger.requeue(claimOf(task), { reason: 'resume' })).toMatchObject({ state: 'queued' })
  expect((await payloads(task, 'task.queued')).at(-1)).toMatchObject({ reason: 'resume' })
})

test('a task that waits for its next owner while its execution lives is paused by that owner, not behind its back', async () => {
  const task = await world.running()
  await ledger.saveHandle(claimOf(task), aHandle)
  const queued = await ledger.requeue(claimOf(task), { reason: 'handover' })
  expect(await ledger.pause(task.id, 'op')).toMatchObject({ outcome: 'requested', before: 'queued' })
  const again = await world.taken(queued, 'w2')
  expect(again).toMatchObject({ state: 'running', pause_requested: { by: 'op' } })
  await ledger.requeue(claimOf(again), { reason: 'retry', failure: { code: 'backend_lost', message: 'gone' }, delayMs: 60_000 })
  expect(await world.now(task.id)).toMatchObject({ state: 'paused' })
})

test('G3: a cancel wins over a pause that nobody has carried out', async () => {
  const task = await world.running()
  await ledger.pause(task.id, 'op')
  await ledger.cancel(task.id, 'agent-a', 'enough')
  expect(await ledger.requeue(claimOf(task), { reason: 'resume' })).toMatchObject({ state: 'cancelled' })
  expect(await payloads(task, 'task.cancelled')).toMatchObject([{ by: 'agent-a', reason: 'enough' }])
})

test('G9: paused time does not count against the deadline, the time after the resume does', async () => {
  const task = await world.running({ timeout_ms: 100_000 })
  await set(task, 'deadline_at', -40_000)
  expect(await paused(task)).not.toHaveProperty('deadline_at')
  await set(task, 'paused_at', -3_600_000)
  expect((await ledger.liveTickets(undefined, 10)).overdue).toEqual([])
  const before = Date.now()
  await ledger.resume(task.id, 'op')
  const { deadline_at } = await world.now(task.id)
  expect((deadline_at ?? 0) - before).toBeGreaterThan(55_000)
  expect((deadline_at ?? 0) - before).toBeLessThan(61_000)
})

test('paused time does not count against the time in the queue either', async () => {
  const task = await world.submitted({ queue_ttl_ms: 60_000 })
  await ledger.pause(task.id, 'op')
  await Promise.all([set(task, 'created_at', -90_000), set(task, 'paused_at', -80_000)])
  await ledger.resume(task.id, 'op')
  expect((await ledger.liveTickets(undefined, 10)).overdue).toEqual([])
  await world.taken(await world.now(task.id), 'w')
})

test('who stays paused for too long is cancelled, or goes on, where the operator wants that', async () => {
  const [cancelled, resumed] = [await world.submitted({ paused_ttl_ms: 1_000, paused_end: 'cancel' }), await world.submitted({ paused_ttl_ms: 1_000, paused_end: 'resume' })]
  for (const task of [cancelled, resumed]) {
    await ledger.pause(task.id, 'op')
    await set(task, 'paused_at', -2_000)
  }
  expect([await ledger.timeoutUnowned(cancelled.id, 1), await ledger.timeoutUnowned(resumed.id, 1)]).toEqual([true, false])
  expect(await world.now(cancelled.id)).toMatchObject({ state: 'cancelled' })
  expect(await world.now(resumed.id)).toMatchObject({ state: 'queued' })
  expect((await payloads(resumed, 'task.queued')).at(-1)).toMatchObject({ reason: 'resume', by: 'policy' })
})

test('G9: who stays paused for longer than paused_ttl_ms ends with that limit, and what is left is cleaned up', async () => {
  const task = await world.running({ paused_ttl_ms: 60_000 })
  await ledger.saveHandle(claimOf(task), { ...aHandle, checkpoint: true })
  const { ticket: n } = await paused(task)
  expect(await ledger.timeoutUnowned(task.id, n)).toBe(false)
  await set(task, 'paused_at', -62_000)
  const live = await ledger.liveTickets(undefined, 10)
  expect(live).toMatchObject({ tickets: [], overdue: [{ task_id: task.id, limit: 'paused_ttl_ms' }] })
  expect(await ledger.timeoutUnowned(task.id, n)).toBe(true)
  expect(await world.now(task.id)).toMatchObject({ state: 'timeout', limit: 'paused_ttl_ms' })
  expect(await payloads(task, 'task.timeout')).toMatchObject([{ limit: 'paused_ttl_ms', limit_ms: 60_000 }])
  expect(await ledger.debts(10)).toEqual([task.id])
})

test('messages wait in order in every state that is not an end, and leave one by one as they reach the agent', async () => {
  const task = await world.submitted()
  expect(await ledger.post(task.id, mail('m1', { metadata: { pr: 7 } }))).toMatchObject({ outcome: 'waiting', before: 'queued', task: { messages_waiting: 1 } })
  const running = await world.taken(task, 'w')
  await ledger.post(task.id, mail('m2'))
  expect(await ledger.requests(claimOf(running))).toMatchObject({ messages: 2 })
  expect(await ledger.mail(task.id)).toEqual([mail('m1', { metadata: { pr: 7 } }), mail('m2')])
  await ledger.delivered(claimOf(running), 'm2') // not its turn
  await ledger.delivered(claimOf(running), 'm1')
  await ledger.delivered(claimOf(running), 'm1') // the answer was lost
  expect(await ledger.requests(claimOf(running))).toMatchObject({ messages: 1 })
  const again = await paused(running)
  await ledger.post(task.id, mail('m3'))
  expect((await ledger.mail(task.id)).map(({ message_id }) => message_id)).toEqual(['m2', 'm3'])
  await expect(ledger.delivered(claimOf(running), 'm2')).rejects.toThrow(ClaimLost)
  expect(again.claim).toBeGreaterThan(running.claim)
  expect(await payloads(task, 'task.message_delivered')).toEqual([{ message_id: 'm1' }])
  expect(await payloads(task, 'task.message')).toEqual([mail('m1', { metadata: { pr: 7 } }), mail('m2'), mail('m3')])
})

test('what never reached the agent is named at the end, however it ends', async () => {
  const task = await world.running()
  for (const id of ['m1', 'm2', 'm3']) await ledger.post(task.id, mail(id, { text: '\u{1F600} "x" \\ [[[[' }))
  await ledger.delivered(claimOf(task), 'm1')
  await ledger.end(claimOf(task), completed)
  expect(await world.now(task.id)).toMatchObject({ state: 'completed', undelivered: ['m2', 'm3'] })
  expect(await world.now(task.id)).not.toHaveProperty('messages_waiting')
  expect(await payloads(task, 'task.completed')).toMatchObject([{ undelivered: ['m2', 'm3'], result: completed.payload.result }])
  expect(await ledger.mail(task.id)).toEqual([])
  const queued = await world.submitted()
  await ledger.post(queued.id, mail('m9'))
  await ledger.cancel(queued.id, 'op')
  expect(await payloads(queued, 'task.cancelled')).toMatchObject([{ by: 'op', undelivered: ['m9'] }])
})

test('a mailbox holds so much and no more, and is empty for the next who asks', async () => {
  const task = await world.submitted()
  await Promise.all(Array.from({ length: MAX_WAITING_MESSAGES }, (_, i) => ledger.post(task.id, mail(`m${i}`))))
  expect(await ledger.post(task.id, mail('one-too-many'))).toMatchObject({ outcome: 'full' })
  expect(await ledger.mail(task.id)).toHaveLength(MAX_WAITING_MESSAGES)
  const another = await world.submitted()
  await Promise.all([ledger.post(another.id, mail('m1')), ledger.post(another.id, mail('m1'))])
  expect(await ledger.mail(another.id)).toHaveLength(1)
  expect(await world.types(task)).toHaveLength(1 + MAX_WAITING_MESSAGES)
})

test('what may be alive is not paused behind its back: the wish waits for the next owner', async () => {
  const task = await world.running()
  await ledger.saveHandle(claimOf(task), aHandle)
  await ledger.pause(task.id, 'op')
  expect(await ledger.requeue(claimOf(task), { reason: 'handover' })).toMatchObject({ state: 'queued', pause_requested: { by: 'op' } })
  expect(await world.taken(await world.now(task.id), 'w2')).toMatchObject({ pause_requested: { by: 'op' } })
})

test('a new attempt is told again what the earlier one was told, before what came later', async () => {
  const task = await world.running()
  for (const id of ['m1', 'm2', 'm3']) await ledger.post(task.id, mail(id))
  for (const id of ['m1', 'm2']) await ledger.delivered(claimOf(task), id)
  const waiting = async () => (await ledger.mail(task.id)).map(({ message_id }) => message_id)
  expect(await waiting()).toEqual(['m3'])
  const queued = await ledger.requeue(claimOf(task), { reason: 'retry', failure: { code: 'provider_error', message: '500' }, delayMs: 0 })
  expect(await waiting()).toEqual(['m1', 'm2', 'm3'])
  const again = await world.taken(queued, 'w2')
  await ledger.delivered(claimOf(again), 'm1')
  expect(await ledger.restart(claimOf(again), 'w2')).toMatchObject({ messages_waiting: 3 })
  await ledger.delivered(claimOf(again), 'm1')
  await ledger.retell(claimOf(again))
  await expect(ledger.retell(claimOf(task))).rejects.toThrow(ClaimLost)
  expect(await waiting()).toEqual(['m1', 'm2', 'm3'])
  expect(await ledger.end(claimOf(again), completed)).toMatchObject({ won: true })
  expect(await world.now(task.id)).toMatchObject({ undelivered: ['m1', 'm2', 'm3'] })
  expect(await world.redis.exists(world.keys.told(task.id), world.keys.mail(task.id))).toBe(0)
})

test('a ticket for what older workers would misread is for newer ones', async () => {
  const [plain, bounded, told, kept] = [await world.submitted(), await world.submitted({ budget: { tokens: 5 } }), await world.running(), await world.submitted({ network: 'provider' })]
  await ledger.post(told.id, mail('m1'))
  await ledger.requeue(claimOf(told), { reason: 'handover' })
  const least = new Map((await ledger.pendingTickets(10)).map(({ ticket: { task_id, min_worker } }) => [task_id, min_worker]))
  expect([plain, bounded, told, kept].map(({ id }) => least.get(id))).toEqual([1, 4, 4, 5])
})

import { beforeEach, expect, test } from 'vitest'

import { MAX_EVENT_BYTES, type Task, type TaskInput } from '@longshore/contracts'

import { ClaimLost, type Ledger } from './ledger.ts'
import { aHandle, claimOf, completed, connect, ticket, type World } from './testing/world.ts'

const open = connect()
let world: World
let ledger: Ledger
beforeEach(() => {
  world = open()
  ledger = world.ledger
})
const ID = 'input-00000000000000aa'
const OTHER = 'input-00000000000000bb'
const input = (more: Partial<TaskInput> = {}): Omit<TaskInput, 'asked_at'> => ({
  input_id: ID, kind: 'question', question: 'Which "one"?', choices: ['a', 'b'], free_text: false, multiple: false, print: 'p', ttl_ms: 60_000, unanswered: 'deny', ...more,
})
const payloads = async (task: Task, type: string) => (await world.events(task)).filter((event) => event.type === type).map(({ payload }) => payload)
const answers = (choices: string[], by = 'op') => ({ choices, by })
async function waiting(more: Partial<TaskInput> = {}): Promise<Task> {
  const task = await world.running()
  await ledger.saveHandle(claimOf(task), aHandle)
  await ledger.ask(claimOf(task), input(more))
  return task
}
/** Given up by its worker, as after the grace. */
async function parked(): Promise<Task> {
  const task = await waiting()
  await ledger.saveHandle(claimOf(task), { ...aHandle, checkpoint: true })
  expect(await ledger.requeue(claimOf(task), { reason: 'answer' })).toMatchObject({ state: 'input_required' })
  return task
}
/** Nobody will answer what is open any more. */
const letExpire = async (task: Task, id = ID) => void (await world.redis.zadd(world.keys.expiring, '1', `${task.id} ${id}`))

test('G9: a task that waits for a person is asked once, its deadline stands still, and the answer sets both right', async () => {
  const task = await waiting()
  await ledger.ask(claimOf(task), input())
  const now = await world.now(task.id)
  expect(now).toMatchObject({ state: 'input_required', asking: 1, waiting_at: expect.any(Number) as number })
  expect(now).not.toHaveProperty('deadline_at')
  expect(await payloads(task, 'task.input_required')).toEqual([{ input_id: ID, kind: 'question', question: 'Which "one"?', choices: ['a', 'b'], free_text: false, multiple: false, expires_at: expect.any(Number) as number }])
  expect(await ledger.answer(task.id, ID, answers(['b']))).toMatchObject({ outcome: 'answered', before: 'input_required', task: { state: 'input_required', answers_waiting: 1, asking: 0 } })
  expect(await ledger.requests(claimOf(task))).toMatchObject({ answers: 1, deadlineAt: expect.any(Number) as number })
  await ledger.settleInput(claimOf(task), ID, 'used')
  const running = await world.now(task.id)
  expect(running).toMatchObject({ state: 'running', asking: 0, answers_waiting: 0, deadline_at: expect.any(Number) as number })
  expect(running.deadline_at ?? 0).toBeGreaterThanOrEqual(task.deadline_at ?? Infinity)
  expect(await payloads(task, 'task.input_answered')).toEqual([{ input_id: ID, answer: 'b', by: 'op' }])
})

test('G9: a deadline that passes after the answer ends the task also where no worker is left to give it to the agent, and no sooner', async () => {
  const task = await waiting()
  const endsAt = (ms: number) => world.redis.hset(world.keys.task(task.id), 'deadline_at', String(Date.now() + ms))
  expect(await ledger.timeoutUnowned(task.id, task.ticket)).toBe(false)
  await ledger.answer(task.id, ID, answers(['a']))
  await endsAt(-1_000)
  expect((await ledger.liveTickets(undefined, 100)).overdue).toMatchObject([{ task_id: task.id, limit: 'timeout_ms' }])
  expect(await ledger.timeoutUnowned(task.id, task.ticket)).toBe(false)
  await endsAt(-60_000)
  expect(await ledger.timeoutUnowned(task.id, task.ticket)).toBe(true)
  expect(await world.now(task.id)).toMatchObject({ state: 'timeout', limit: 'timeout_ms' })
  expect(await world.redis.exists(world.keys.inputs(task.id))).toBe(0)
})

test('G3: a cancel that its owner died with is what ends the task when its time is over, not the time', async () => {
  const task = await world.running()
  expect(await ledger.cancel(task.id, 'op', 'no "need"')).toMatchObject({ outcome: 'requested' })
  await world.redis.hset(world.keys.task(task.id), 'deadline_at', String(Date.now() - 60_000))
  expect(await ledger.timeoutUnowned(task.id, task.ticket)).toBe(true)
  expect(await world.now(task.id)).toMatchObject({ state: 'cancelled' })
  expect(await payloads(task, 'task.cancelled')).toMatchObject([{ by: 'op', reason: 'no "need"' }])
})

test('the first answer counts: the same again is harmless, another one, a late one and one for another task are refused', async () => {
  const [task, other] = [await waiting(), await waiting({ input_id: OTHER })]
  await ledger.answer(task.id, ID, answers(['a']))
  expect(await ledger.answer(task.id, ID, answers(['a']))).toMatchObject({ outcome: 'answered' })
  expect(await ledger.answer(task.id, ID, answers(['b']))).toMatchObject({ outcome: 'not_open' })
  expect(await ledger.answer(task.id, ID, answers(['a'], 'somebody else'))).toMatchObject({ outcome: 'not_open' })
  expect(await ledger.answer(other.id, ID, answers(['a']))).toMatchObject({ outcome: 'no_such_input' })
  expect(await payloads(task, 'task.input_answered')).toHaveLength(1)
  await ledger.end(claimOf(other), completed)
  expect(await ledger.answer(other.id, OTHER, answers(['a']))).toMatchObject({ outcome: 'already_over', before: 'completed' })
  expect(await ledger.answer('task-00000000000000000000000000', ID, answers(['a']))).toBeUndefined()
  expect(await world.redis.exists(world.keys.inputs(other.id))).toBe(0)
  expect(await world.redis.zrange(world.keys.expiring, 0, '-1')).toEqual([])
})

test('a task that nobody holds goes on with the answer, under its next ticket, and only when nothing else is open', async () => {
  const task = await waiting()
  await ledger.ask(claimOf(task), input({ input_id: OTHER, question: 'And?' }))
  await ledger.saveHandle(claimOf(task), { ...aHandle, checkpoint: true })
  await ledger.requeue(claimOf(task), { reason: 'answer' })
  expect(await ledger.take(ticket(await world.now(task.id)), 'w2')).toEqual({ kind: 'nothing', reason: 'not_runnable' })
  expect(await ledger.pendingTickets(10)).toEqual([])
  expect((await ledger.liveTickets(undefined, 100)).tickets).toEqual([])
  expect(await ledger.answer(task.id, ID, answers(['a']))).toMatchObject({ task: { state: 'input_required' } })
  const done = await ledger.answer(task.id, OTHER, answers(['b']))
  expect(done).toMatchObject({ outcome: 'answered', task: { state: 'queued' }, ticket: { task_id: task.id, min_worker: 5, takeover: true } })
  expect((await payloads(task, 'task.queued')).at(-1)).toMatchObject({ reason: 'answer' })
  expect(await ledger.take({ task_id: task.id, n: done?.ticket?.n ?? 0 }, 'w2')).toMatchObject({ kind: 'taken', takeover: true, task: { attempt: 1, answers_waiting: 2, deadline_at: expect.any(Number) as number } })
})

test('G7: whoever takes over from an owner that died while its task waits takes it as it is; asked again it waits again, without another event', async () => {
  const task = await waiting()
  expect((await ledger.liveTickets(undefined, 100)).tickets).toMatchObject([{ task_id: task.id }])
  const heir = await world.taken(await world.now(task.id), 'w2')
  expect(heir).toMatchObject({ state: 'running', asking: 1, crashes: 1, deadline_at: expect.any(Number) as number })
  await expect(ledger.ask(claimOf(task), input({ input_id: OTHER }))).rejects.toThrow(ClaimLost)
  await expect(ledger.settleInput(claimOf(task), ID, 'used')).rejects.toThrow(ClaimLost)
  await ledger.ask(claimOf(heir), input())
  expect(await world.now(task.id)).toMatchObject({ state: 'input_required', asking: 1 })
  expect(await payloads(task, 'task.input_required')).toHaveLength(1)
})

test('G3: what waits for a person is cancelled, paused and ended as anything else', async () => {
  const [held, free] = [await waiting(), await parked()]
  expect(await ledger.cancel(held.id, 'op')).toMatchObject({ outcome: 'requested', before: 'input_required' })
  expect(await ledger.cancel(free.id, 'op')).toMatchObject({ outcome: 'ended', before: 'input_required' })
  expect(await ledger.debts(10)).toEqual([free.id])
  const done = await waiting()
  expect(await ledger.end(claimOf(done), completed)).toMatchObject({ won: true, state: 'completed' })
})

test('a pause over an open question: its time stands still, resumed it is asked again, answered meanwhile it goes on at once', async () => {
  const task = await parked()
  expect(await ledger.pause(task.id, 'op')).toMatchObject({ outcome: 'paused', before: 'input_required' })
  await letExpire(task)
  expect(await ledger.answerExpired(10)).toBe(0)
  const resumed = await ledger.resume(task.id, 'agent-a')
  expect(resumed).toMatchObject({ outcome: 'resumed', task: { state: 'input_required' } })
  expect(resumed).not.toHaveProperty('ticket')
  expect((await payloads(task, 'task.input_required')).at(-1)).toMatchObject({ input_id: ID, question: 'Which "one"?', by: 'agent-a', expires_at: expect.any(Number) as number })
  await ledger.pause(task.id, 'op')
  expect(await ledger.answer(task.id, ID, answers(['a']))).toMatchObject({ outcome: 'answered', task: { state: 'paused' } })
  expect(await ledger.resume(task.id, 'op')).toMatchObject({ task: { state: 'queued', answers_waiting: 1 }, ticket: { task_id: task.id } })
})

test('an answer is an event as any other: no larger than one may be', async () => {
  const task = await waiting({ multiple: true, free_text: true })
  await ledger.answer(task.id, ID, answers(Array.from({ length: 20 }, () => 'x'.repeat(2_000))))
  expect(Buffer.byteLength((await world.redis.lindex(world.keys.log(task.id), -1)) ?? '')).toBeLessThanOrEqual(MAX_EVENT_BYTES)
  expect((await ledger.inputs(task.id))[0]?.answer?.choices.join('')).toHaveLength(40_000)
})

test('a record that cannot be read keeps no other task waiting', async () => {
  const [broken, task] = [await waiting(), await waiting()]
  await letExpire(broken)
  await letExpire(task)
  await world.redis.hset(world.keys.inputs(broken.id), ID, '{}')
  expect(await ledger.answerExpired(10)).toBe(1)
})

test('G14: half a character in what an agent says does not keep its task from being resumed', async () => {
  const task = await waiting({ tool: 'x\ud83d', question: '"ttl_ms":1 \udc00' })
  await ledger.saveHandle(claimOf(task), { ...aHandle, checkpoint: true })
  await ledger.requeue(claimOf(task), { reason: 'answer' })
  await ledger.pause(task.id, 'op')
  expect(await ledger.resume(task.id, 'op')).toMatchObject({ outcome: 'resumed', task: { state: 'input_required' } })
  const [asked] = await ledger.inputs(task.id)
  expect((asked?.expires_at ?? 0) - ((await world.now(task.id)).waiting_at ?? 0)).toBe(60_000)
})

test('what nobody answered in time is answered as its policy says, once', async () => {
  const [question, permission] = [await parked(), await waiting({ input_id: OTHER, kind: 'permission', choices: ['allow', 'always', 'deny'], unanswered: 'deny' })]
  expect(await ledger.answerExpired(10)).toBe(0)
  await letExpire(question)
  await letExpire(permission, OTHER)
  expect(await ledger.answerExpired(10)).toBe(2)
  expect(await ledger.answerExpired(10)).toBe(0)
  expect(await payloads(question, 'task.input_answered')).toEqual([{ input_id: ID, answer: '', by: 'policy', why: 'expired' }])
  expect(await payloads(permission, 'task.input_answered')).toEqual([{ input_id: OTHER, answer: 'deny', by: 'policy', why: 'expired' }])
  expect(await world.now(question.id)).toMatchObject({ state: 'queued' })
})

test('a question that the agent does not ask any more is withdrawn; a fresh session has asked nothing', async () => {
  const task = await waiting()
  await ledger.settleInput(claimOf(task), ID, 'withdrawn')
  expect(await world.now(task.id)).toMatchObject({ state: 'running', asking: 0 })
  expect(await payloads(task, 'task.input_answered')).toEqual([{ input_id: ID, answer: '', by: 'agent', why: 'withdrawn' }])
  await ledger.ask(claimOf(task), input({ input_id: OTHER }))
  await ledger.requeue(claimOf(task), { reason: 'retry', failure: { code: 'provider_busy', message: 'x' }, delayMs: 0 })
  expect(await world.now(task.id)).toMatchObject({ state: 'queued', deadline_at: expect.any(Number) as number })
  expect(await ledger.inputs(task.id)).toEqual([])
  expect(await world.redis.zrange(world.keys.expiring, 0, '-1')).toEqual([])
})

test('a hand-over to somebody who adopts goes through the queue, though the task waits', async () => {
  const task = await waiting()
  expect(await ledger.requeue(claimOf(task), { reason: 'handover' })).toMatchObject({ state: 'queued', asking: 1 })
  expect(await ledger.answer(task.id, ID, answers(['a']))).toMatchObject({ task: { state: 'queued', answers_waiting: 1 } })
})

test('G7: a task with a limit for its time in the queue, whose owner dies while it waits for a person, is taken over, not ended', async () => {
  const task = await world.running({ queue_ttl_ms: 60_000 })
  await ledger.saveHandle(claimOf(task), aHandle)
  await ledger.ask(claimOf(task), input())
  // Long ago: the time in the queue is over since.
  await world.redis.hset(world.keys.task(task.id), 'created_at', '1')
  expect(await world.taken(await world.now(task.id), 'w2')).toMatchObject({ state: 'running', attempt: 1 })
})

test('what a session had asked before it was interrupted, and does not ask again, stays open and holds nothing up', async () => {
  const task = await waiting()
  const heir = await world.taken(await world.now(task.id), 'w2')
  await ledger.ask(claimOf(heir), input({ input_id: OTHER, question: 'In other words?' }))
  await ledger.answer(task.id, OTHER, answers(['a']))
  await ledger.settleInput(claimOf(heir), OTHER, 'used')
  expect(await world.now(task.id)).toMatchObject({ state: 'running', asking: 1, deadline_at: expect.any(Number) as number })
  await ledger.saveHandle(claimOf(heir), { ...aHandle, checkpoint: true })
  await ledger.pause(task.id, 'op')
  await ledger.requeue(claimOf(heir), { reason: 'resume' })
  expect(await ledger.resume(task.id, 'op')).toMatchObject({ task: { state: 'queued', asking: 1 } })
  expect(await payloads(task, 'task.input_required')).toHaveLength(2)
  await letExpire(task)
  expect(await ledger.answerExpired(10)).toBe(1)
})

test('without an owner, too, only what the agent waits for holds its task up', async () => {
  const task = await waiting()
  const heir = await world.taken(await world.now(task.id), 'w2')
  await ledger.ask(claimOf(heir), input({ input_id: OTHER, question: 'In other words?' }))
  await ledger.saveHandle(claimOf(heir), { ...aHandle, checkpoint: true })
  expect(await ledger.requeue(claimOf(heir), { reason: 'answer' })).toMatchObject({ state: 'input_required', asking: 2 })
  expect(await ledger.answer(task.id, OTHER, answers(['a']))).toMatchObject({ task: { state: 'queued', asking: 1 } })
})

test('a session that is interrupted while its worker lives waits for nobody; it may ask again', async () => {
  const task = await waiting()
  await ledger.settleInput(claimOf(task), ID, 'unheard')
  expect(await world.now(task.id)).toMatchObject({ state: 'running', asking: 1, deadline_at: expect.any(Number) as number })
  await ledger.ask(claimOf(task), input())
  expect(await world.now(task.id)).toMatchObject({ state: 'input_required', asking: 1 })
  expect(await payloads(task, 'task.input_required')).toHaveLength(1)
})

test('G9: with the answer time counts again, whether or not it can be brought to the agent', async () => {
  const task = await waiting()
  expect(await ledger.answer(task.id, ID, answers(['b']))).toMatchObject({ before: 'input_required', task: { state: 'input_required', answers_waiting: 1, deadline_at: expect.any(Number) as number } })
  await ledger.ask(claimOf(task), input({ input_id: OTHER, question: 'And?' }))
  expect(await world.now(task.id)).not.toHaveProperty('deadline_at')
  await ledger.answer(task.id, OTHER, answers(['b']))
  await ledger.settleInput(claimOf(task), OTHER, 'used')
  await ledger.settleInput(claimOf(task), ID, 'used')
  expect(await world.now(task.id)).toMatchObject({ state: 'running', answers_waiting: 0, deadline_at: expect.any(Number) as number })
})

test('G4: a pause never goes past an owner that is just stopping the agent', async () => {
  const task = await waiting()
  await ledger.saveHandle(claimOf(task), { ...aHandle, checkpoint: true })
  expect(await ledger.pause(task.id, 'op')).toMatchObject({ outcome: 'requested', before: 'input_required' })
  expect(await ledger.requeue(claimOf(task), { reason: 'answer' })).toMatchObject({ state: 'paused' })
  expect(await ledger.resume(task.id, 'op')).toMatchObject({ task: { state: 'input_required' } })
})

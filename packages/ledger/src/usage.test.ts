import { beforeEach, expect, test } from 'vitest'

import { MAX_EVENTS_PER_TASK, type Task, type Usage } from '@longshore/contracts'

import type { Ledger } from './ledger.ts'
import { aTask, claimOf, completed, connect, type World } from './testing/world.ts'

const open = connect()
let world: World
let ledger: Ledger
beforeEach(() => {
  world = open()
  ledger = world.ledger
})
const used = (more: Partial<Usage>): Usage => ({ input_tokens: 0, output_tokens: 0, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0, ...more })
const spend = (task: Task, more: Partial<Usage>, on = ledger) => on.append(claimOf(task), [{ type: 'task.usage', payload: used(more) }])
const today = () => new Date().toISOString().slice(0, 10)

test('what a step used counts for its task, its agent\'s day and the totals, by agent, profile and mode', async () => {
  const [task, other] = [await world.running(), await world.running({ agent_id: 'agent-b', mode: 'opencode' })]
  await spend(task, { input_tokens: 100, output_tokens: 20, reasoning_tokens: 3, cache_read_tokens: 5_000, cache_write_tokens: 4, cost_micros: 700 })
  await spend(task, { input_tokens: 1, cost_micros: 1 })
  await spend(other, { output_tokens: 9 })
  expect(await world.now(task.id)).toMatchObject({ tokens: 128, cost_micros: 701 })
  expect((await ledger.requests(claimOf(task))).spent).toEqual({ tokens: 128, cost_micros: 701 })
  expect(await Promise.all(['agent-a', 'agent-b', 'agent-c'].map((agent) => ledger.spentToday(agent)))).toEqual([{ tokens: 128, cost_micros: 701 }, { tokens: 9, cost_micros: 0 }, { tokens: 0, cost_micros: 0 }])
  expect(await ledger.usage(today(), today())).toEqual([
    { day: today(), agent_id: 'agent-a', profile: 'opencode', mode: 'docker', ...used({ input_tokens: 101, output_tokens: 20, reasoning_tokens: 3, cache_read_tokens: 5_000, cache_write_tokens: 4, cost_micros: 701 }) },
    { day: today(), agent_id: 'agent-b', profile: 'opencode', mode: 'opencode', ...used({ output_tokens: 9 }) },
  ])
  expect(await ledger.usage('2001-01-01', '2001-01-31')).toEqual([])
})

test('G5: an append that is sent again after a lost answer is counted once', async () => {
  const task = await world.running()
  await spend(task, { input_tokens: 10 })
  const evalsha = world.redis.evalsha.bind(world.redis)
  let sent: Parameters<typeof evalsha> | undefined
  world.redis.evalsha = ((...args: Parameters<typeof evalsha>) => {
    sent = args
    return evalsha(...args)
  }) as typeof evalsha
  await spend(task, { input_tokens: 5 })
  world.redis.evalsha = evalsha
  if (sent === undefined) throw new Error('nothing was sent')
  // Behind what somebody else appended in between.
  await ledger.post(task.id, { message_id: 'm1', message_type: 'update', by: 'op', text: 'hello' })
  await evalsha(...sent)
  expect(await world.now(task.id)).toMatchObject({ tokens: 15 })
})

test('a full log drops the event and counts the cost', async () => {
  const task = await world.running()
  await world.redis.rpush(world.keys.log(task.id), ...Array.from({ length: MAX_EVENTS_PER_TASK }, () => 'x'))
  await spend(task, { input_tokens: 7 })
  expect(await world.now(task.id)).toMatchObject({ tokens: 7 })
})

test('numbers that are none count as nothing, and the log goes on', async () => {
  const task = await world.running()
  await spend(task, { input_tokens: NaN, output_tokens: 3, cost_micros: 'x' as unknown as number })
  await spend(task, { input_tokens: -5 } )
  expect(await world.now(task.id)).toMatchObject({ tokens: 3, cost_micros: 0 })
  expect(await ledger.end(claimOf(task), completed)).toMatchObject({ won: true })
})

test('an agent that has used its day is refused new tasks, with the reason; the same submit again is still the same task', async () => {
  const task = await world.running({ idempotency_key: 'k' })
  await spend(task, { input_tokens: 1_000, cost_micros: 50 })
  const more = () => ({ ...aTask(), agent_id: 'agent-a' })
  await expect(ledger.submit(more(), { day: { tokens: 1_000 } })).rejects.toMatchObject({ code: 'budget', message: 'agent-a has used its budget for today: 1000 tokens, 50 millionths of the currency' })
  await expect(ledger.submit(more(), { day: { cost_micros: 50 } })).rejects.toMatchObject({ code: 'budget' })
  expect(await ledger.submit(more(), { day: { tokens: 1_001, cost_micros: 51 } })).toMatchObject({ isNew: true })
  expect(await ledger.submit(aTask({ agent_id: 'agent-b' }), { day: { tokens: 1 } })).toMatchObject({ isNew: true })
  expect(await ledger.submit({ ...aTask({ idempotency_key: 'k' }) }, { day: { tokens: 1 } })).toMatchObject({ isNew: false, task: { id: task.id } })
})

test('G14: an agent that claims more than numbers hold spoils neither its record nor anybody\'s totals', async () => {
  const task = await world.running()
  for (const n of [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]) await spend(task, { input_tokens: n, cost_micros: n })
  expect(await world.now(task.id)).toMatchObject({ tokens: Number.MAX_SAFE_INTEGER })
  expect(await ledger.usage(today(), today())).toMatchObject([{ input_tokens: Number.MAX_SAFE_INTEGER }])
  await world.redis.hset(world.keys.task(task.id), 'tokens', '9223372036854775807')
  await spend(task, { input_tokens: 5 })
  expect((await world.events(task)).map(({ type }) => type)).toEqual(['task.queued', 'task.started', 'task.usage', 'task.usage', 'task.usage'])
  expect(await ledger.end(claimOf(task), completed)).toMatchObject({ won: true })
})

test('G2: a budget that the deployment sets in between does not make a repeated submit another one; one that the caller asks for does', async () => {
  const task = await world.submitted({ idempotency_key: 'k' })
  const again = (more: object) => ledger.submit(aTask({ idempotency_key: 'k', ...more }))
  expect(await again({ budget: { tokens: 5 } })).toMatchObject({ isNew: false, task: { id: task.id } })
  await expect(again({ budget: { tokens: 5 }, budget_asked: { tokens: 5 } })).rejects.toMatchObject({ code: 'idempotency_conflict' })
})

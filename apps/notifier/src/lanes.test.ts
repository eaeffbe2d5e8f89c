import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { createDeadLetters, outboxPrefix } from '@longshore/outbox'
import { createLanes } from './outbox/lanes.ts'
import { createOutbox } from './outbox/outbox.ts'
import { createHarbour, type Harbour } from './testing/harbour.ts'
import { createReceiver, kindsOf, type Receiver } from './testing/receiver.ts'
import { ends } from './testing/world.ts'

function aPort(): { harbour: Harbour; receiver: Receiver } {
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  return { harbour, receiver: createReceiver(harbour, sharedRedisUrl()) }
}
const isEmpty = (harbour: Harbour) => waitFor(async () => (await harbour.outbox('test')).waiting === 0, { what: 'an empty outbox' })

test('a lane that is blocked, and one that hangs, hold up no other', async () => {
  const { harbour, receiver } = aPort()
  const hang = Promise.withResolvers<void>()
  ends({ stop: () => Promise.resolve(hang.resolve()) })
  receiver.answer = async (_, lane) => {
    if (lane === 'blocked') return { kind: 'blocked', reason: 'no entry' }
    if (lane === 'hangs') await hang.promise
    return { kind: 'sent' }
  }
  receiver.notifier('a')
  const [blocked, hangs] = [await harbour.start({ agent_id: 'blocked' }), await harbour.start({ agent_id: 'hangs' })]
  for (let i = 0; i < 5; i++) await harbour.complete(await harbour.start({ agent_id: `agent-${i}` }), 'done')
  await waitFor(() => receiver.got.filter(({ letter }) => letter.kind === 'completion').length === 5, { what: 'five completions' })
  expect([kindsOf(receiver, blocked), kindsOf(receiver, hangs)]).toEqual([[], []])
  await waitFor(async () => (await harbour.outbox('test')).waiting === 2, { what: 'the two to be all that waits' })
})

test('three notifiers share the lanes, and each lane is in the hands of one at a time', async () => {
  const { harbour, receiver } = aPort()
  const inHand = new Map<string, number>()
  let most = 0
  receiver.answer = async (_, lane) => {
    inHand.set(lane, (inHand.get(lane) ?? 0) + 1)
    most = Math.max(most, ...inHand.values())
    await new Promise((resolve) => setImmediate(resolve))
    inHand.set(lane, (inHand.get(lane) ?? 0) - 1)
    return { kind: 'sent' }
  }
  for (const name of ['a', 'b', 'c']) receiver.notifier(name)
  const tasks = await Promise.all(Array.from({ length: 60 }, (_, i) => harbour.start({ agent_id: `agent-${i % 12}` })))
  for (const task of tasks) await harbour.complete(task, 'done')
  const completed = () => receiver.got.flatMap(({ letter }) => (letter.kind === 'completion' ? [letter.task_id] : []))
  await waitFor(() => completed().length >= 60, { what: 'sixty completions' })
  await isEmpty(harbour)
  const completions = completed()
  expect(completions.toSorted()).toEqual(tasks.map(({ id }) => id).toSorted())
  expect(most).toBe(1)
  const shares = ['a', 'b', 'c'].map((name) => receiver.got.filter(({ by }) => by === name).length)
  expect(Math.min(...shares), `shares ${shares.join(', ')}`).toBeGreaterThan(receiver.got.length / 20)
})

test('G8: the lane of a notifier that died is taken over within seconds, and the dead one can change nothing any more', async () => {
  const { harbour, receiver } = aPort()
  const of = { redis: harbour.redis, deployment: harbour.deployment, sink: 'test' }
  await createOutbox(of).say({ id: 'c1', room: '!r:hs', reply_to: '$e', plain: 'done', html: 'done' })
  const taken = await createLanes(of, () => 'one').take()
  if (!('lane' in taken)) throw new Error('no lane')
  expect(await createLanes(of, () => 'one').take()).toEqual({ waitMs: undefined })
  const died = performance.now()
  receiver.notifier('b')
  await waitFor(() => receiver.got.length === 1, { what: 'the reply' })
  expect(performance.now() - died).toBeLessThan(6_000)
  await expect(taken.lane.next()).rejects.toThrow('LEASELOST')
  await expect(taken.lane.leave(0)).rejects.toThrow('LEASELOST')
})

test('a reply is said once, however often it is asked for', async () => {
  const { harbour, receiver } = aPort()
  const outbox = createOutbox({ redis: harbour.redis, deployment: harbour.deployment, sink: 'test' })
  const reply = { id: '$event:1', room: '!r:hs', reply_to: '$e', thread_root: '$root', plain: 'done', html: 'done' }
  expect([await outbox.say(reply), await outbox.say(reply)]).toEqual([true, false])
  receiver.notifier('a')
  await isEmpty(harbour)
  expect(await outbox.say(reply)).toBe(false)
  expect(receiver.got.map(({ letter }) => letter)).toMatchObject([{ kind: 'reply', thread_root: '$root' }])
  await expect(outbox.say({ ...reply, id: 'a b' })).rejects.toThrow('1 to 200 of')
})

test('a receiver that limits is left two places for endings and eight for edits, by all notifiers together', async () => {
  const { harbour, receiver } = aPort()
  const prefix = outboxPrefix(harbour.deployment, 'test')
  const bucket = (tokens: number) => harbour.redis.hset(`${prefix}bucket:one`, { interval: 600_000, tokens, at: Date.now() })
  const outbox = createOutbox({ redis: harbour.redis, deployment: harbour.deployment, sink: 'test' })
  const task = await harbour.start()
  const notifiers = [receiver.notifier('a'), receiver.notifier('b')]
  await waitFor(() => kindsOf(receiver).includes('card'), { what: 'the card' })
  await bucket(8.9)
  await harbour.say(task, { type: 'task.tool', payload: { tool: 'bash', title: 'ls', status: 'completed' } })
  await waitFor(async () => (await harbour.outbox('test')).waiting === 1, { what: 'an edit that waits' })
  await bucket(2.9)
  await outbox.say({ id: 'c1', room: '!r:hs', reply_to: '$e', plain: 'done', html: 'done' })
  await harbour.complete(task, 'done')
  await waitFor(() => kindsOf(receiver).includes('completion'), { what: 'the completion' })
  expect(kindsOf(receiver)).toEqual(['card', 'completion'])
  await bucket(3)
  // Whoever looks again.
  await harbour.redis.zadd(`${prefix}lanes`, 0, '!r:hs')
  await waitFor(() => kindsOf(receiver).includes('reply'), { what: 'the reply' })
  await waitFor(async () => (await harbour.outbox('test')).waiting === 1, { what: 'the edit to be all that waits' })
  await Promise.all(notifiers.map((one) => one.stop()))
})

test('a refusal for the rate holds back all lanes of the account for as long as it says', async () => {
  const { harbour, receiver } = aPort()
  const first = Promise.withResolvers<number>()
  let isRefused = false
  receiver.answer = () => {
    if (isRefused) return { kind: 'sent' }
    isRefused = true
    first.resolve(performance.now())
    return { kind: 'limited', afterMs: 1_500 }
  }
  await harbour.start({ agent_id: 'one' })
  for (const name of ['a', 'b']) receiver.notifier(name)
  const refusedAt = await first.promise
  await harbour.complete(await harbour.start({ agent_id: 'two' }), 'done')
  await waitFor(() => receiver.got.some(({ lane }) => lane === 'two'), { what: 'a send in the other lane' })
  expect(performance.now() - refusedAt).toBeGreaterThan(1_400)
})

test('a lane that always has something to say gives way to others after its turn', async () => {
  const { harbour } = aPort()
  const receiver = createReceiver(harbour, sharedRedisUrl(), 1)
  const outbox = createOutbox({ redis: harbour.redis, deployment: harbour.deployment, sink: 'test' })
  let n = 0
  const say = (room: string) => outbox.say({ id: `c${n++}`, room, reply_to: '$e', plain: 'x', html: 'x' })
  receiver.answer = async (_, lane) => (lane === 'endless' && (await say('endless')), { kind: 'sent' })
  await say('endless')
  receiver.notifier('a')
  await waitFor(() => receiver.got.length > 0, { what: 'a first reply' })
  await say('other')
  await waitFor(() => receiver.got.some(({ lane }) => lane === 'other'), { what: 'the other lane\'s reply' })
  expect(receiver.got.filter(({ lane }) => lane === 'endless').length).toBeGreaterThan(1)
  receiver.answer = () => ({ kind: 'sent' })
})

test('endings and questions go before replies, these before cards; what stands in a thread waits for its root', async () => {
  const { harbour, receiver } = aPort()
  const outbox = createOutbox({ redis: harbour.redis, deployment: harbour.deployment, sink: 'test' })
  receiver.answer = () => ({ kind: 'blocked', reason: 'not yet' })
  const notifier = receiver.notifier('a')
  const first = await harbour.start({ agent_id: 'one' })
  await waitFor(async () => (await harbour.outbox('test')).waiting === 1, { what: 'the first card to be tried' })
  const second = await harbour.start({ agent_id: 'one' })
  await harbour.complete(second, 'done')
  await outbox.say({ id: 'c1', room: 'one', reply_to: '$e', plain: 'ok', html: 'ok' })
  await waitFor(async () => (await harbour.outbox('test')).waiting === 4, { what: 'four to wait' })
  await notifier.stop()
  receiver.answer = () => ({ kind: 'sent' })
  const prefix = outboxPrefix(harbour.deployment, 'test')
  await harbour.redis.del(`${prefix}hold`)
  await harbour.redis.zadd(`${prefix}lanes`, 0, 'one')
  receiver.notifier('b')
  await isEmpty(harbour)
  const order = receiver.got.map(({ letter }) => (letter.kind === 'reply' ? 'reply' : `${letter.kind} ${letter.task_id === first.id ? 1 : 2}`))
  // The card of the first was frozen before; then the second one's card, for its completion's sake.
  expect(order.filter((one) => one !== 'card 1')).toEqual(['card 2', 'completion 2', 'reply'])
})

test('an edit is the latest there is until it is on its way', async () => {
  const { harbour, receiver } = aPort()
  const task = await harbour.start()
  receiver.notifier('a')
  await waitFor(() => kindsOf(receiver).includes('card'), { what: 'the card' })
  const step = (i: number) => harbour.say(task, { type: 'task.tool', payload: { tool: 'bash', title: `step ${i}`, status: 'completed' } })
  await Promise.all(Array.from({ length: 49 }, (_, i) => step(i)))
  await step(49)
  const edits = () => receiver.got.filter(({ isEdit }) => isEdit).map(({ letter }) => letter.plain)
  await waitFor(() => edits().at(-1)?.includes('step 49') === true, { what: 'the last edit' })
  expect(edits().length).toBeLessThan(10)
})

test('what is refused is a dead letter with its reason, and goes out when it is replayed', async () => {
  const { harbour, receiver } = aPort()
  receiver.answer = (letter) => (letter.kind === 'completion' ? { kind: 'refused', reason: 'too ugly' } : { kind: 'sent' })
  receiver.notifier('a')
  const task = await harbour.start()
  await harbour.complete(task, 'done')
  await waitFor(async () => (await harbour.outbox('test')).dead === 1, { what: 'a dead letter' })
  const dead = createDeadLetters(harbour.redis, harbour.deployment)
  const { total, letters } = await dead.list(10, 0)
  expect({ total, letters }).toMatchObject({ total: 1, letters: [{ sink: 'test', lane: 'agent-a', kind: 'completion', task_id: task.id, reason: 'too ugly' }] })
  expect(await dead.replay('no such letter')).toBe(0)
  receiver.answer = () => ({ kind: 'sent' })
  expect([await dead.replay(letters[0]?.id ?? ''), await dead.replay('all')]).toEqual([1, 0])
  await waitFor(() => kindsOf(receiver, task).includes('completion'), { what: 'the completion' })
  expect((await dead.list(10, 0)).total).toBe(0)
})

test('a receiver that refuses everything keeps its newest dead letters, and pushes out nobody else\'s', async () => {
  const { harbour, receiver } = aPort()
  let refused = 0
  receiver.answer = (letter) => (letter.kind === 'completion' ? (refused++, { kind: 'refused', reason: 'gone' }) : { kind: 'sent' })
  receiver.notifier('a')
  await harbour.complete(await harbour.start({ agent_id: 'quiet' }), 'done')
  for (let i = 0; i < 103; i++) await harbour.complete(await harbour.start({ agent_id: 'hostile' }), 'done')
  const lanes = async () => (await createDeadLetters(harbour.redis, harbour.deployment).list(1_000, 0)).letters.map(({ lane }) => lane)
  await waitFor(() => refused === 104, { what: 'all of them to be refused' })
  await isEmpty(harbour)
  const found = await lanes()
  expect([found.filter((lane) => lane === 'hostile').length, found.filter((lane) => lane === 'quiet').length]).toEqual([100, 1])
})

test('a card that was refused for its pace while a newer one was drafted is still first, in its own line', async () => {
  const { harbour, receiver } = aPort()
  const drafted = Promise.withResolvers<void>()
  let tries = 0
  receiver.answer = async (letter) => {
    if (letter.kind !== 'card' || tries++ > 0) return { kind: 'sent' }
    await drafted.promise
    return { kind: 'limited', afterMs: 300 }
  }
  receiver.notifier('a')
  const task = await harbour.start()
  await waitFor(() => tries === 1, { what: 'the card on its way' })
  await harbour.complete(task, 'done')
  await waitFor(async () => (await harbour.outbox('test')).waiting === 3, { what: 'a newer card and the completion' })
  drafted.resolve()
  await waitFor(() => kindsOf(receiver, task).length === 2, { what: 'both' })
  expect(kindsOf(receiver, task)).toEqual(['card', 'completion'])
})

test('a refused card of which a newer version was told is no dead letter any more: a replay does not bring the old one back', async () => {
  const { harbour, receiver } = aPort()
  receiver.answer = () => ({ kind: 'refused', reason: 'too ugly' })
  receiver.notifier('a')
  const task = await harbour.start()
  await waitFor(async () => (await harbour.outbox('test')).dead === 1, { what: 'a dead letter' })
  receiver.answer = () => ({ kind: 'sent' })
  await harbour.complete(task, 'done')
  await waitFor(() => kindsOf(receiver, task).length === 2, { what: 'card and completion' })
  expect((await harbour.outbox('test')).dead).toBe(0)
  expect(await createDeadLetters(harbour.redis, harbour.deployment).replay('all')).toBe(0)
})

test('a lane that is empty leaves nothing behind', async () => {
  const { harbour, receiver } = aPort()
  let tries = 0
  receiver.answer = () => (tries++ < 2 ? { kind: 'again', reason: 'away' } : { kind: 'refused', reason: 'no' })
  receiver.notifier('a')
  await harbour.start()
  await waitFor(async () => (await harbour.outbox('test')).dead === 1, { what: 'a dead letter' })
  await isEmpty(harbour)
  const prefix = outboxPrefix(harbour.deployment, 'test')
  await waitFor(async () => (await harbour.redis.exists(`${prefix}lanes`)) === 0, { what: 'the lane left' })
  expect(await harbour.redis.exists(`${prefix}faults`, `${prefix}hold`, `${prefix}ages`, `${prefix}sending`)).toBe(0)
})

test('who observes a task changes without an event, and the card says who came and who went', async () => {
  const { harbour, receiver } = aPort()
  receiver.notifier('a')
  const task = await harbour.start({ observers: ['@ann:hs', '@cat:hs'] })
  await waitFor(() => kindsOf(receiver).includes('card'), { what: 'the card' })
  await harbour.observe(task, ['@ben:hs', '@cat:hs'])
  await waitFor(() => kindsOf(receiver).includes('card edit'), { what: 'an edit' })
  expect(receiver.got.at(-1)?.letter).toMatchObject({ observers: ['@ben:hs', '@cat:hs'], left: ['@ann:hs'] })
})

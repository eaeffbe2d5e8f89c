import { sharedRedisUrl } from '@longshore/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type InputId, MatrixAuthorityText, SILENT, type Task } from '@longshore/contracts'
import { createRolloutStore } from '@longshore/rollout'
import { TASK_FIELD } from '../matrix/content.ts'
import { acquireLease } from '../outbox/lease.ts'
import { createOutbox } from '../outbox/outbox.ts'
import { createHarbour, type Harbour } from '../testing/harbour.ts'
import { handleEvent, type HandleDeps } from './handle-event.ts'
import { createInbox, inboxPrefix } from './inbox.ts'

const [BOT, ANN, ROOM, INPUT] = ['@longshore:x', '@ann:x', '!room:x', 'input-00000000000000a1' as InputId]
let harbour: Harbour
beforeEach(() => { harbour = createHarbour(sharedRedisUrl()) })
afterEach(() => harbour.redis.disconnect())

type Step = 'the answer' | 'the settling'
/** A notifier that dies before this step; undefined: it lives. */
async function aNotifier(task: Task, dies: Step | undefined): Promise<HandleDeps> {
  const { redis, deployment, ledger } = harbour
  await redis.del(`${inboxPrefix(deployment)}lease:listen`)
  const fence = await acquireLease(redis, inboxPrefix(deployment), 'listen') ?? 0
  const [inbox, outbox, rollout] = [createInbox(redis, deployment, BOT, fence), createOutbox({ redis, deployment, sink: 'matrix' }), createRolloutStore(redis, deployment)]
  const orDie = (step: Step) => { if (step === dies) throw new Error('SIGKILL') }
  const card = { event_id: '$card', room_id: ROOM, sender: BOT, type: 'm.room.message', origin_server_ts: 1, content: { [TASK_FIELD]: { v: 1, task_id: task.id, kind: 'card', status: 'running', seq: 1 } } }
  return {
    client: { event: () => Promise.resolve(card) },
    inbox: { settle: async (...args) => (orDie('the settling'), inbox.settle(...args)) },
    ground: { ledger, workers: () => Promise.resolve([]), rollout: { get: () => rollout.get({}), set: (...args) => rollout.set(...args) } },
    authority: MatrixAuthorityText.parse({ [ANN]: 'operator' }), botId: BOT, pace: { take: () => 'go' },
    say: async (reply) => (orDie('the answer'), outbox.say(reply)),
    log: SILENT, onDeed: () => undefined,
  }
}
const says = (body: string) => ({ event_id: '$command', sender: ANN, type: 'm.room.message', origin_server_ts: 1, content: { msgtype: 'm.text', body, 'm.relates_to': { rel_type: 'm.thread', event_id: '$card' } } })
const typesOf = async (task: Task) => {
  const page = await harbour.ledger.read(task.id, { seq: 0, id: '' }, 500)
  return page?.kind === 'events' ? page.events.map(({ type }) => type) : []
}
const share = async () => (await createRolloutStore(harbour.redis, harbour.deployment).get({})).opencode_percent
const said = async () => (await harbour.redis.hvals(`{ls:${harbour.deployment}}:notify:matrix:outbox`)).map((text) => (JSON.parse(text) as { plain: string }).plain)

interface Case { between(task: Task): Promise<unknown>; came(task: Task): Promise<unknown>; of: unknown; answer: string }
const countOf = async (task: Task, type: string) => (await typesOf(task)).filter((one) => one === type).length
/** What is asked for, what others do before it is asked again, and what must have come of it. */
const CASES: Readonly<Record<string, Case>> = {
  '!pause': { between: (task) => harbour.ledger.resume(task.id, 'other'), came: (task) => countOf(task, 'task.paused'), of: 1, answer: 'Paused' },
  '!say careful': {
    between: (task) => harbour.ledger.post(task.id, { message_id: 'm2', message_type: 'update', by: 'other', text: 'more' }),
    came: async (task) => (await harbour.ledger.mail(task.id)).map(({ text }) => text), of: ['careful', 'more'], answer: 'when the task runs',
  },
  '!cancel': { between: () => Promise.resolve(), came: (task) => countOf(task, 'task.cancelled'), of: 1, answer: '🚫 Cancelled.' },
  '!rollout set 50': { between: () => createRolloutStore(harbour.redis, harbour.deployment).set(10, 'other'), came: share, of: 10, answer: '% of agents' },
}

describe.each(['the answer', 'the settling'] as const)('a notifier that is killed after the deed and before %s', (step) => {
  test.each(Object.entries(CASES))('%s takes effect once, is answered once and audited once, though others acted meanwhile', async (words, { between, came, of, answer }) => {
    const task = await harbour.submit()
    await expect(handleEvent(await aNotifier(task, step), ROOM, says(words))).rejects.toThrow('SIGKILL')
    await between(task)
    const next = await aNotifier(task, undefined)
    await handleEvent(next, ROOM, says(words))
    await handleEvent(next, ROOM, says(words))
    expect(await came(task)).toEqual(of)
    expect(await said()).toEqual([expect.stringContaining(answer)])
    expect(await harbour.ledger.audit(10)).toMatchObject([{ by: `matrix:${ANN}`, result: 'done', event_id: '$command' }])
  })

  test.each([true, false])('an answer counts for the question for which it was given, not for the next one (there is one: %s), and its sender is told so', async (isAskedOn) => {
    const task = await harbour.start()
    const ask = (input_id: InputId) => harbour.ledger.ask({ taskId: task.id, claim: task.claim }, { input_id, kind: 'permission', question: '?', choices: ['allow', 'always', 'deny'], free_text: false, multiple: false, print: input_id, ttl_ms: 60_000, unanswered: 'deny' })
    await ask(INPUT)
    await expect(handleEvent(await aNotifier(task, step), ROOM, says('!approve'))).rejects.toThrow('SIGKILL')
    await harbour.ledger.settleInput({ taskId: task.id, claim: task.claim }, INPUT, 'used')
    if (isAskedOn) await ask('input-00000000000000a2')
    await handleEvent(await aNotifier(task, undefined), ROOM, says('!approve'))
    expect((await harbour.ledger.inputs(task.id)).map(({ status }) => status)).toEqual(isAskedOn ? ['used', 'open'] : ['used'])
    expect(await said()).toEqual([expect.stringContaining('Answered')])
  })
})

test('what was told to come too fast is not done by a successor, which has counted nothing', async () => {
  const task = await harbour.submit()
  const limits = { ...await aNotifier(task, 'the answer'), pace: { take: () => 'first' as const } }
  await expect(handleEvent(limits, ROOM, says('!cancel'))).rejects.toThrow('SIGKILL')
  const successor = createInbox(harbour.redis, harbour.deployment, BOT, 0)
  expect([...await successor.handled(['$command'])]).toEqual(['$command'])
  expect(await harbour.ledger.audit(10)).toEqual([])
})

test('who lost the lease settles and advances nothing', async () => {
  const { redis, deployment } = harbour
  const old = createInbox(redis, deployment, BOT, await acquireLease(redis, inboxPrefix(deployment), 'listen') ?? 0)
  await old.advance('s1', [])
  await redis.del(`${inboxPrefix(deployment)}lease:listen`)
  await acquireLease(redis, inboxPrefix(deployment), 'listen')
  await expect(old.settle('$e', undefined)).rejects.toThrow('LEASELOST')
  await expect(old.advance('s2', ['$e'])).rejects.toThrow('LEASELOST')
  expect([await old.since(), (await old.handled(['$e'])).size]).toEqual(['s1', 0])
})

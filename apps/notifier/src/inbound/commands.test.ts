import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { InputId, Task } from '@longshore/contracts'
import { TASK_FIELD } from '../matrix/content.ts'
import { type Homeserver, type Person, saidIn, startHomeserver } from '../testing/homeserver.ts'
import { authorityOf, type Talk, talkIn } from '../testing/talk.ts'
import { aWorld, type World } from '../testing/world.ts'

const FIRST: InputId = 'input-00000000000000a1'
const SECOND: InputId = 'input-00000000000000a2'

describeNeeding('synapse', 'Matrix, the way back', () => {
  let server: Homeserver
  let [ann, bob, eve] = [] as unknown as [Person, Person, Person]
  beforeAll(async () => {
    server = await startHomeserver()
    ;[ann, bob, eve] = [await server.person('ann'), await server.person('bob'), await server.person('eve')]
  })
  afterAll(() => server.stop())

  /** Ann is an operator, Bob a viewer, Eve nobody; all may speak. */
  async function aHarbour(more: Record<string, string> = {}): Promise<{ world: World; talk: Talk; task: Task }> {
    const world = await aWorld(server, { ...authorityOf({ [ann.userId]: 'operator', [bob.userId]: 'viewer' }), MATRIX_DEFAULT_HUMAN_OBSERVERS: eve.userId, ...more })
    await world.start()
    const task = await world.harbour.start()
    const talk = await talkIn(world, ann, bob, eve)
    const levels = await world.bot.client.roomState(talk.roomId, 'm.room.power_levels')
    await world.bot.client.setState(talk.roomId, 'm.room.power_levels', '', { ...levels, events_default: 0 })
    return { world, talk, task }
  }
  const typesOf = async ({ harbour }: World, task: Task) => {
    const page = await harbour.ledger.read(task.id, { seq: 0, id: '' }, 500)
    return page?.kind === 'events' ? page.events : []
  }
  const asks = (world: World, task: Task, input_id: InputId, more: object = {}) => world.harbour.ledger.ask({ taskId: task.id, claim: task.claim }, {
    input_id, kind: 'question', question: 'Which color?', choices: ['red', 'blue'], free_text: false, multiple: false, print: input_id, ttl_ms: 60_000, unanswered: 'deny', ...more,
  })
  const answerOf = async ({ harbour }: World, task: Task, inputId: InputId) => (await harbour.ledger.inputs(task.id)).find(({ input_id }) => input_id === inputId)?.answer

  const cardElsewhere = async ({ bot, harbour }: World, agent: string, task: Task) => {
    const room = await waitFor(() => bot.client.resolveAlias(`#longshore-${harbour.deployment}_agent_${agent}:${bot.userId.split(':')[1]}`), { what: 'the other room' })
    return waitFor(async () => (await saidIn(bot.client, room)).find(({ content }) => (content[TASK_FIELD] as { task_id: string } | undefined)?.task_id === task.id)?.event_id, { what: 'the other card' })
  }

  test('each command by who may: it is done, says by whom in the log, is answered in the thread, and audited', async () => {
    const { world, talk, task } = await aHarbour()
    const ask = async (body: string) => String((await talk.answerTo(await talk.inThread(ann, task, body))).content['body'])
    expect(await ask('!help')).toContain('You are operator here.')
    expect(await ask('!status')).toContain('Mend the crane')
    expect(await ask('!say look at the rope')).toContain('at its next step')
    expect(await ask('and at the hook')).toContain('at its next step')
    await asks(world, task, FIRST)
    expect(await ask('!answer 2')).toContain('Answered: blue')
    await asks(world, task, SECOND, { kind: 'permission', choices: ['allow', 'always', 'deny'] })
    expect(await ask('!deny not on a Friday')).toContain('Answered: deny')
    expect(await ask('!pause for the night')).toContain('told to pause')
    expect(await ask('!resume')).toContain('taken back')
    expect(await ask('!rollout')).toContain('0 % of agents in OpenCode mode')
    expect(await ask('!rollout set 12.5')).toContain('12.5 % of agents in OpenCode mode')
    const last = await talk.answerTo(await talk.inThread(ann, task, '!cancel enough'))
    expect(last.content).toMatchObject({ msgtype: 'm.notice', 'm.mentions': {}, body: expect.stringContaining('told to end it') as string, 'm.relates_to': { rel_type: 'm.thread', event_id: await talk.card(task) } })

    const by = `matrix:${ann.userId}`
    expect(await world.harbour.ledger.get(task.id)).toMatchObject({ cancel_requested: { by, reason: 'enough' } })
    const events = await typesOf(world, task)
    expect(events.filter(({ type }) => type === 'task.message').map(({ payload }) => payload)).toMatchObject([{ by, text: 'look at the rope', message_type: 'feedback' }, { by, text: 'and at the hook' }])
    expect(events.filter(({ type }) => type === 'task.input_answered').map(({ payload }) => payload)).toMatchObject([{ by, answer: 'blue' }, { by, answer: 'deny', message: 'not on a Friday' }])
    expect((await world.harbour.ledger.mail(task.id)).map(({ text }) => text)).toEqual(['look at the rope', 'and at the hook'])
    const audit = await waitFor(async () => {
      const all = await world.harbour.ledger.audit(100)
      return all.length >= 11 ? all : undefined
    }, { what: 'all of it in the audit' })
    expect(audit.map(({ deed }) => deed)).toEqual(['cancel', 'rollout set', 'rollout', 'resume', 'pause', 'deny', 'answer', 'chat', 'say', 'status', 'help'])
    expect(audit[0]).toMatchObject({ by, role: 'operator', task_id: task.id, result: 'done', words: 'enough', room_id: talk.roomId, event_id: expect.stringMatching(/^\$/) as string })
  })

  test('each command by who may not: nothing is done, a viewer is told what it takes, and who has no role that he has none', async () => {
    const { world, talk, task } = await aHarbour()
    await asks(world, task, FIRST)
    const before = (await typesOf(world, task)).length
    const ask = async (person: Person, body: string) => String((await talk.answerTo(await talk.inThread(person, task, body))).content['body'])
    for (const words of ['!say go', '!approve', '!deny', '!answer red', '!pause', '!resume', '!cancel', '!rollout', '!rollout set 100']) {
      expect(await ask(bob, words)).toMatch(/takes the role operator; you are viewer here/)
    }
    for (const words of ['!help', '!status', '!cancel']) expect(await ask(eve, words)).toContain('You have no role here')
    const chat = [await talk.inThread(bob, task, 'what is it doing?'), await talk.inThread(eve, task, 'stop it!')]
    expect(await ask(bob, '!status')).toContain('Needs an answer')
    expect(await ask(bob, '!help')).toMatch(/You are viewer here\.[^]*!status/)
    const replied = JSON.stringify(await talk.answers())
    for (const eventId of chat) expect(replied).not.toContain(eventId)
    expect((await typesOf(world, task)).length).toBe(before)
    expect(await answerOf(world, task, FIRST)).toBeUndefined()
    expect(await world.harbour.redis.exists(`{ls:${world.harbour.deployment}}:rollout`)).toBe(0)
    const audit = await world.harbour.ledger.audit(100)
    expect(audit.filter(({ result }) => result === 'refused')).toHaveLength(12)
  })

  test('approval by reaction: a check mark allows, a cross denies, a number chooses, with and without variation selector; taken back it stays', async () => {
    const { world, talk, task } = await aHarbour()
    await asks(world, task, FIRST, { kind: 'permission', choices: ['allow', 'always', 'deny'] })
    const permission = await talk.question(task, FIRST)
    await talk.react(eve, permission, '✅')
    await waitFor(async () => JSON.stringify(await talk.answers()).includes('You have no role here'), { what: 'the refusal' })
    expect(await answerOf(world, task, FIRST)).toBeUndefined()
    const reaction = await talk.react(ann, permission, '✅\uFE0F')
    await waitFor(() => answerOf(world, task, FIRST), { what: 'the answer' })
    expect(await answerOf(world, task, FIRST)).toMatchObject({ choices: ['allow'], by: `matrix:${ann.userId}` })
    await fetch(`${server.baseUrl}/_matrix/client/v3/rooms/${encodeURIComponent(talk.roomId)}/redact/${encodeURIComponent(reaction)}/t1`, { method: 'PUT', headers: { authorization: `Bearer ${ann.token}` }, body: '{}' })

    await asks(world, task, SECOND)
    const question = await talk.question(task, SECOND)
    await talk.react(ann, question, '2️⃣')
    await waitFor(() => answerOf(world, task, SECOND), { what: 'the second answer' })
    expect(await answerOf(world, task, SECOND)).toMatchObject({ choices: ['blue'] })
    await talk.react(ann, question, '❌')
    await waitFor(async () => JSON.stringify(await talk.answers()).includes('has answered already: blue'), { what: 'to be told that it is answered' })
    expect(await answerOf(world, task, FIRST)).toMatchObject({ choices: ['allow'] })
  })

  test('L-28: two tasks in one room: each command, reply and reaction concerns the task in whose thread it is', async () => {
    const { world, talk, task: first } = await aHarbour()
    const second = await world.harbour.start({ title: 'Paint the hull' })
    await asks(world, first, FIRST)
    await asks(world, second, SECOND)
    expect((await talk.answerTo(await talk.inThread(ann, second, '!status'))).content['body']).toContain('Paint the hull')
    await talk.answerTo(await talk.say(ann, '!say only you', { 'm.in_reply_to': { event_id: await talk.card(second) } }))
    expect(await world.harbour.ledger.mail(first.id)).toEqual([])
    expect((await world.harbour.ledger.mail(second.id)).map(({ text }) => text)).toEqual(['only you'])
    await talk.react(ann, await talk.question(second, SECOND), '1️⃣')
    await waitFor(() => answerOf(world, second, SECOND), { what: 'the answer' })
    expect(await answerOf(world, first, FIRST)).toBeUndefined()
    expect((await talk.answerTo(await talk.say(ann, '!cancel'))).content['body']).toContain('say it in the task\'s thread')
  })

  test('L-22: own posts, notices, edits and what a person forged as the bot\'s are no commands (G11)', async () => {
    const { world, talk, task } = await aHarbour()
    const root = await talk.card(task)
    const thread = { rel_type: 'm.thread', event_id: root, is_falling_back: true, 'm.in_reply_to': { event_id: root } }
    await talk.say(world.bot, '!cancel', thread)
    await talk.say(ann, '!cancel', thread, { msgtype: 'm.notice' })
    const meant = await talk.say(ann, 'nothing', { rel_type: 'm.replace', event_id: root }, { 'm.new_content': { msgtype: 'm.text', body: '!cancel' } })
    const other = await world.harbour.start({ agent_id: 'agent-b', title: 'Not in this room' })
    const elsewhere = await cardElsewhere(world, 'agent-b', other)
    // A root in another room, and a field that Ann wrote herself: neither is a card of ours here.
    expect((await talk.answerTo(await talk.say(ann, '!cancel', { 'm.in_reply_to': { event_id: elsewhere } }))).content['body']).toContain('say it in the task\'s thread')
    const forged = await talk.say(ann, 'Which color?', thread, { [TASK_FIELD]: { v: 1, task_id: other.id, kind: 'card', status: 'running', seq: 1 } })
    expect((await talk.answerTo(await talk.say(ann, '!cancel', { 'm.in_reply_to': { event_id: forged } }))).content['body']).toContain('told to end it')
    expect(await world.harbour.ledger.get(other.id)).not.toHaveProperty('cancel_requested')
    expect(await world.harbour.ledger.get(task.id)).toMatchObject({ cancel_requested: { by: `matrix:${ann.userId}` } })
    expect(JSON.stringify(await talk.answers())).not.toContain(meant)
    expect((await world.harbour.ledger.audit(10)).map(({ deed, result }) => `${deed} ${result}`)).toEqual(['cancel done', 'chat done', 'cancel refused'])
  })
})

import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { createRolloutStore } from '@longshore/rollout'
import { type Homeserver, type Person, startHomeserver } from '../testing/homeserver.ts'
import { authorityOf, talkIn } from '../testing/talk.ts'
import type { NotifierProcess } from '../testing/notifier-process.ts'
import { aWorld, eventually, type World } from '../testing/world.ts'

describeNeeding('synapse', 'listening to Matrix', () => {
  let server: Homeserver
  let [ann, eve] = [] as unknown as [Person, Person]
  beforeAll(async () => {
    server = await startHomeserver()
    ;[ann, eve] = [await server.person('ann'), await server.person('eve')]
  })
  afterAll(() => server.stop())

  const aHarbour = (more: Record<string, string> = {}) => aWorld(server, { ...authorityOf({ [ann.userId]: 'operator' }), MATRIX_DEFAULT_HUMAN_OBSERVERS: eve.userId, ...more })
  const audited = ({ harbour }: World) => harbour.ledger.audit(500)

  test('what is said while no notifier listens is done by the next one, also where a window shows only the newest', async () => {
    const world = await aHarbour()
    const first = await world.start()
    const task = await world.harbour.start()
    const talk = await talkIn(world, ann, eve)
    await talk.answerTo(await talk.inThread(ann, task, '!status'))
    await first.stop()
    // A homeserver may answer the next notifier as it would have answered the call that was cut: with the first thing said since.
    await talk.say(ann, 'just talking')
    const missed = await talk.inThread(ann, task, '!say from the depth of the gap')
    for (let i = 0; i < 21; i++) await Promise.all(Array.from({ length: 10 }, () => talk.say(ann, 'just talking')))
    const last = await talk.inThread(ann, task, '!say at its end')
    await world.start()
    await talk.answerTo(missed)
    await talk.answerTo(last)
    expect((await world.harbour.ledger.mail(task.id)).map(({ text }) => text)).toEqual(['from the depth of the gap', 'at its end'])
    expect((await audited(world)).map(({ deed }) => deed)).toEqual(['say', 'say', 'status'])
  })

  test('G14: an event that names what no homeserver can look up silences nobody', async () => {
    const world = await aHarbour()
    await world.start()
    const task = await world.harbour.start()
    const talk = await talkIn(world, ann, eve)
    for (const target of [`$${'x'.repeat(40_000)}`, '$a\u0000b', '$', 'none', '$..%2F..', '$?x=1#']) {
      await talk.react(eve, target, '✅').catch(() => undefined)
      await talk.say(ann, 'hm', { 'm.in_reply_to': { event_id: target } }).catch(() => undefined)
    }
    expect((await talk.answerTo(await talk.inThread(ann, task, '!status'))).content['body']).toContain('Mend the crane')
  })

  test('the notifier that listens is killed whenever something was done: each command once, none lost', async () => {
    const world = await aHarbour()
    const notifiers = [await world.start(), await world.start()]
    const task = await world.harbour.start()
    const talk = await talkIn(world, ann)
    const texts = Array.from({ length: 12 }, (_, i) => `word ${i}`)
    const asked: string[] = []
    const told = async () => (await world.harbour.ledger.mail(task.id)).length
    const listens = async (one: NotifierProcess) => ((await (await fetch(`http://127.0.0.1:${one.port()}/health`)).json()) as { matrix_commands: string }).matrix_commands === 'active'
    for (const text of texts) {
      const before = await told()
      asked.push(await talk.inThread(ann, task, `!say ${text}`))
      if (asked.length % 3 !== 0) continue
      const active = await eventually(() => Promise.all(notifiers.map(listens)), (all) => all.includes(true), 'one to listen')
      // It is done, and may or may not be answered and written down.
      await waitFor(async () => (await told()) > before, { what: text, everyMs: 2 })
      const index = active.indexOf(true)
      await notifiers[index]?.kill9()
      notifiers[index] = await world.start()
    }
    for (const eventId of asked) await talk.answerTo(eventId)
    expect((await world.harbour.ledger.mail(task.id)).map(({ text }) => text)).toEqual(texts)
    await waitFor(async () => (await audited(world)).length >= texts.length, { what: 'the audit' })
    expect([(await talk.answers()).length, (await audited(world)).length]).toEqual([texts.length, texts.length])
  })

  test('what was said before anybody listened is nobody\'s wish any more', async () => {
    const bot = await aHarbour()
    const room = await ann.client.createRoom({ preset: 'private_chat', invite: [bot.bot.userId] })
    await bot.bot.client.join(room)
    await ann.client.send(room, 'm.room.message', 't1', { msgtype: 'm.text', body: '!rollout set 77' })
    await bot.start({ MATRIX_ROOM_ID: room })
    const share = async () => (await createRolloutStore(bot.harbour.redis, bot.harbour.deployment).get({})).opencode_percent
    await waitFor(() => bot.harbour.redis.exists(`{ls:${bot.harbour.deployment}}:inbound:since:${bot.bot.userId}`), { what: 'to be listening' })
    await ann.client.send(room, 'm.room.message', 't2', { msgtype: 'm.text', body: '!rollout set 33' })
    await waitFor(async () => (await audited(bot)).length > 0, { what: 'the audit' })
    expect(await share()).toBe(33)
    expect((await audited(bot)).map(({ words }) => words)).toEqual(['set 33'])
  })

  test('nobody floods: what is too much is refused once in words, then ignored, and others are heard', async () => {
    const world = await aHarbour({ MATRIX_AUTHORITY: JSON.stringify({ [ann.userId]: 'operator', [eve.userId]: 'viewer' }) })
    const notifier = await world.start()
    const task = await world.harbour.start()
    const talk = await talkIn(world, ann, eve)
    const asked = await Promise.all(Array.from({ length: 30 }, (_, i) => talk.inThread(ann, task, `!say ${i}`)))
    expect((await talk.answerTo(await talk.inThread(eve, task, '!status'))).content['body']).toContain('Mend the crane')
    const answers = (await talk.answers()).map(({ content }) => String(content['body']))
    expect(answers.filter((body) => body.startsWith('Too fast')).length).toBeGreaterThan(0)
    expect(answers.length).toBeLessThan(asked.length)
    const told = (await world.harbour.ledger.mail(task.id)).length
    expect(told).toBeGreaterThanOrEqual(15)
    expect(told).toBeLessThan(30)
    const metrics = await (await fetch(`http://127.0.0.1:${notifier.port()}/metrics`)).text()
    expect(metrics).toMatch(/longshore_matrix_commands_total\{[^}]*command="say",result="limited"[^}]*\} \d+/)
    expect(metrics).toMatch(/longshore_matrix_commands_total\{[^}]*command="status",result="done"[^}]*\} 1/)
  })

  test('hostile words: too long is refused with its size, HTML and @room stay words in both directions and ping no one, an unknown word gets one hint', async () => {
    const world = await aHarbour()
    await world.start()
    const task = await world.harbour.start()
    const talk = await talkIn(world, ann)
    expect((await talk.answerTo(await talk.inThread(ann, task, `!say ${'x'.repeat(40_000)}`))).content['body']).toContain('8 KiB) of UTF-8; it has 40000')
    expect((await talk.answerTo(await talk.inThread(ann, task, `!cancel ${'x'.repeat(2_000)}`))).content['body']).toContain('2000 characters; at most 1000')
    await talk.answerTo(await talk.inThread(ann, task, '!say <b onclick=x>@room</b> \u202E'))
    expect((await world.harbour.ledger.mail(task.id)).map(({ text }) => text)).toEqual(['<b onclick=x>@room</b>'])
    const refusal = await talk.answerTo(await talk.inThread(ann, task, '!rollout set <script>@room'))
    expect(refusal.content).toMatchObject({ 'm.mentions': {}, formatted_body: expect.stringContaining('&lt;script&gt;@room') as string })
    const hint = await talk.answerTo(await talk.inThread(ann, task, '!explode <b>'))
    expect(hint.content['body']).toBe('There is no !explode. !help shows what there is.')
  })

  test('L-29: in a room of ours an observer reads and reacts, and the homeserver refuses their words; who has a role speaks, and has no power over the room', async () => {
    const world = await aHarbour()
    await world.start()
    const task = await world.harbour.start()
    const talk = await talkIn(world, ann, eve)
    await expect(talk.inThread(eve, task, '!cancel')).rejects.toThrow('M_FORBIDDEN')
    await talk.react(eve, await talk.card(task), '✅')
    await talk.answerTo(await talk.inThread(ann, task, '!status'))
    await expect(ann.client.kick(talk.roomId, eve.userId)).rejects.toThrow('M_FORBIDDEN')
    await expect(ann.client.setState(talk.roomId, 'm.room.name', '', { name: 'mine' })).rejects.toThrow('M_FORBIDDEN')
    await expect(ann.client.invite(talk.roomId, '@stranger:mx.test')).rejects.toThrow('M_FORBIDDEN')
  })
})

import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type Homeserver, startHomeserver } from '../testing/homeserver.ts'
import { isSend, startProxy } from '../testing/proxy.ts'
import { aWorld, completionsOf, ends, eventually, fieldOf, rootsOf } from '../testing/world.ts'

const NO_TOKEN = { status: 401, body: '{"errcode":"M_UNKNOWN_TOKEN","error":"Invalid access token passed."}' }

describeNeeding('synapse', 'pitfalls of a homeserver', () => {
  let server: Homeserver
  beforeAll(async () => { server = await startHomeserver() })
  afterAll(() => server.stop())

  test('M_UNKNOWN_TOKEN in the middle: an alert, the outbox is kept, and all goes on when it is mended, without a restart', async () => {
    const proxy = ends(await startProxy(server.baseUrl))
    const { harbour, start, said } = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    const notifier = await start()
    const task = await harbour.start()
    await eventually(() => said(task), (all) => all.length > 0, 'the card')
    proxy.hook = () => Promise.resolve(NO_TOKEN)
    await harbour.complete(task, 'done')
    await eventually(() => Promise.resolve(notifier.output()), (output) => output.includes('"alert":"blocked"'), 'the alert')
    await eventually(() => harbour.outbox('matrix'), ({ waiting }) => waiting === 2, 'edit and completion in the outbox')
    proxy.hook = (_, pass) => pass()
    const all = await eventually(() => said(task), (events) => completionsOf(events).length > 0, 'the completion')
    expect([rootsOf(all).length, completionsOf(all).length]).toEqual([1, 1])
    await eventually(() => Promise.resolve(notifier.output()), (output) => output.includes('notices are taken again'), 'the end of the alert')
  })

  test('429 with only a Retry-After header: nothing is sent before it, then each thing once', async () => {
    const proxy = ends(await startProxy(server.baseUrl))
    const { harbour, start, said } = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    await start()
    const sends: { path: string; at: number }[] = []
    proxy.hook = (call, pass) => {
      if (!isSend(call)) return pass()
      sends.push({ path: call.path, at: performance.now() })
      return sends.length === 1 ? Promise.resolve({ status: 429, body: '{"errcode":"M_LIMIT_EXCEEDED"}', headers: { 'retry-after': '2' } }) : pass()
    }
    const task = await harbour.start()
    await eventually(() => said(task), (all) => all.length > 0, 'the card')
    expect((sends[1]?.at ?? 0) - (sends[0]?.at ?? 0)).toBeGreaterThan(1_900)
    expect(rootsOf(await said(task))).toHaveLength(1)
  })

  test('a connection that the homeserver closed while it was idle costs nothing', async () => {
    const proxy = ends(await startProxy(server.baseUrl))
    const { harbour, start, said } = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    await start()
    const task = await harbour.start()
    await eventually(() => said(task), (all) => all.length > 0, 'the card')
    proxy.dropIdle()
    await harbour.complete(task, 'done')
    const all = await eventually(() => said(task), (events) => completionsOf(events).length > 0, 'the completion')
    expect([rootsOf(all).length, completionsOf(all).length]).toEqual([1, 1])
  })

  test('403: a room where the bot may not speak keeps its notices until it may; other rooms go on', async () => {
    const chief = await server.person('chief')
    const { harbour, start, bot } = await aWorld(server)
    const levels = (level: number) => ({ users: { [chief.userId]: 100 }, events_default: level, state_default: 50 })
    const roomId = await chief.client.createRoom({ preset: 'private_chat', invite: [bot.userId], power_level_content_override: levels(50) })
    const notifier = await start({ MATRIX_ROOM_ID: roomId })
    await harbour.start()
    await eventually(() => Promise.resolve(notifier.output()), (output) => output.includes('may not post in its room'), 'the alert')
    expect(await harbour.outbox('matrix')).toEqual({ waiting: 1, dead: 0 })
    await chief.client.setState(roomId, 'm.room.power_levels', '', levels(0))
    await waitFor(async () => (await harbour.outbox('matrix')).waiting === 0, { what: 'an empty outbox' })
  })

  test('texts of 100 kB, lone surrogates, HTML and @room from an agent arrive, bounded, and ping nobody', async () => {
    const ann = await server.person('ann')
    const { harbour, start, said, room } = await aWorld(server, { MATRIX_DEFAULT_HUMAN_OBSERVERS: ann.userId })
    await start()
    const evil = `@room ${ann.userId} <h1>x</h1>\uD800 ${'🚢&'.repeat(30_000)}`.toWellFormed()
    const task = await harbour.start({ title: '@room <b>look</b>', prompt: evil })
    await harbour.say(
      task, { type: 'task.message', payload: { message_id: 'm', message_type: 'update', by: evil.slice(0, 4_000), text: evil.slice(0, 4_000) } },
      { type: 'task.input_required', payload: { input_id: `input-${'0'.repeat(16)}`, kind: 'question', question: evil.slice(0, 3_000), choices: [evil.slice(0, 200), 'b'] } },
      { type: 'task.input_answered', payload: { input_id: `input-${'0'.repeat(16)}`, answer: evil.slice(0, 1_000), by: evil.slice(0, 300) } },
    )
    const roomId = await room()
    await eventually(() => ann.client.join(roomId).catch(() => ''), (joined) => joined === roomId, 'an invitation')
    const { next_batch: since } = await ann.client.sync(undefined, 0)
    await harbour.complete(task, evil)
    const all = await eventually(() => said(task), (events) => ['completion', 'detail', 'question'].every((kind) => events.some((event) => fieldOf(event).kind === kind)), 'all of it')
    expect((await ann.client.sync(since, 0)).rooms?.join?.[roomId]?.unread_notifications?.highlight_count ?? 0).toBe(0)
    expect(JSON.stringify(all.map((event) => event.content['formatted_body']))).not.toContain('<h1>')
    expect(await harbour.outbox('matrix')).toMatchObject({ dead: 0 })
  })
})

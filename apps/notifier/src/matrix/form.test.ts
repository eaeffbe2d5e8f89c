import { describeNeeding } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { EventDraft } from '@longshore/contracts'
import { type Homeserver, saidIn, startHomeserver } from '../testing/homeserver.ts'
import { aWorld, completionsOf, eventually, fieldOf, isEdit, relationOf, rootsOf } from '../testing/world.ts'
import { TASK_FIELD } from './content.ts'

const bash = (title: string): EventDraft => ({ type: 'task.tool', payload: { tool: 'bash', title, status: 'completed' } })

describeNeeding('synapse', 'a task in Matrix', () => {
  let server: Homeserver
  beforeAll(async () => { server = await startHomeserver() })
  afterAll(() => server.stop())

  test('is a card that is edited in place, and a completion in its thread', async () => {
    const { harbour, start, said, bot } = await aWorld(server)
    await start()
    const ann = await server.person('ann')
    const task = await harbour.start({ observers: [ann.userId] })
    const [root] = await eventually(() => said(task), (all) => all.length > 0, 'the card')
    await harbour.say(task, bash('npm test'))
    await eventually(() => said(task), (all) => all.some((event) => isEdit(event) && String(event.content['body']).includes('bash: npm test')), 'an edit')
    await harbour.complete(task, 'All green.')
    const all = await eventually(() => said(task), (events) => events.some((event) => isEdit(event) && fieldOf(event).status === 'completed'), 'the last edit')

    expect(root?.content).toMatchObject({ msgtype: 'm.notice', 'm.mentions': {}, [TASK_FIELD]: { v: 1, task_id: task.id, kind: 'card' } })
    expect(rootsOf(all)).toHaveLength(1)
    expect(all.filter(isEdit).every((edit) => relationOf(edit)?.event_id === root?.event_id && edit.content['msgtype'] === 'm.notice')).toBe(true)
    expect(completionsOf(all)).toHaveLength(1)
    expect(completionsOf(all)[0]?.content).toMatchObject({
      msgtype: 'm.text', 'm.mentions': { user_ids: [ann.userId] }, 'm.relates_to': { rel_type: 'm.thread', event_id: root?.event_id, is_falling_back: true },
      [TASK_FIELD]: { v: 1, task_id: task.id, status: 'completed', kind: 'completion' },
    })
    expect(completionsOf(all)[0]?.content['body']).toContain('> All green.')
    expect(all.every((event) => event.sender === bot.userId)).toBe(true)
  })

  test('brings the operator\'s observers into a room where they read and react and do not speak; a task pings its own among them, once, at the end', async () => {
    const [bea, cat] = [await server.person('bea'), await server.person('cat')]
    const { harbour, start, room, said } = await aWorld(server, { MATRIX_DEFAULT_HUMAN_OBSERVERS: `${bea.userId},${cat.userId}` })
    await start()
    const evil = `@room ${bea.userId} ${cat.userId} please look`
    const task = await harbour.start({ observers: [cat.userId], title: evil })
    const roomId = await room()
    for (const person of [bea, cat]) await eventually(() => person.client.join(roomId).catch(() => ''), (joined) => joined === roomId, 'an invitation')
    const before = { bea: await bea.client.sync(undefined, 0), cat: await cat.client.sync(undefined, 0) }
    await harbour.say(task, bash(evil))
    await harbour.complete(task, evil)
    const all = await eventually(() => said(task), (events) => completionsOf(events).length === 1 && events.some((event) => fieldOf(event).status === 'completed' && isEdit(event)), 'the end')

    const highlights = async (person: typeof bea, since: string) => (await person.client.sync(since, 0)).rooms?.join?.[roomId]?.unread_notifications?.highlight_count
    expect(await highlights(cat, before.cat.next_batch)).toBe(1)
    expect(await highlights(bea, before.bea.next_batch)).toBe(0)
    await expect(bea.client.send(roomId, 'm.room.message', 'x1', { msgtype: 'm.text', body: 'hello' })).rejects.toMatchObject({ status: 403 })
    await bea.client.send(roomId, 'm.reaction', 'x2', { 'm.relates_to': { rel_type: 'm.annotation', event_id: all[0]?.event_id, key: '👍' } })
  })

  test('G11: a stranger whom a task names as observer is brought into its agent\'s room, not into a room of all tasks', async () => {
    const stranger = await server.person('stranger')
    const { harbour, start, room, said, bot } = await aWorld(server)
    const all = await start({ MATRIX_ROOMS: 'deployment' })
    const task = await harbour.start({ observers: [stranger.userId] })
    const shared = await eventually(() => bot.client.resolveAlias(`#longshore-${harbour.deployment}:${server.serverName}`).catch(() => ''), (id) => id !== '', 'the room of all tasks')
    await eventually(() => saidIn(bot.client, shared), (events) => events.length > 0, 'the card')
    await expect(stranger.client.join(shared)).rejects.toMatchObject({ status: 403 })
    await all.stop()
    await start()
    await harbour.complete(task, 'done')
    await eventually(() => said(task), (events) => completionsOf(events).length === 1, 'the completion')
    await eventually(() => stranger.client.join(shared).catch(() => room().then((id) => stranger.client.join(id))).catch(() => ''), (id) => id !== '' && id !== shared, 'the invitation')
  })

  test('L-21, L-30: hostile text arrives escaped and bounded, and nothing is an [object Object]', async () => {
    const { harbour, start, said } = await aWorld(server)
    await start()
    const evil = `<img src=x onerror=alert(1)> \u202Elone \uD800 ${'&'.repeat(3_800)}`
    const task = await harbour.start({ title: evil.slice(0, 60).toWellFormed() })
    await harbour.say(task, bash(evil.toWellFormed()), { type: 'task.file_changed', payload: { path: '<b>a</b>', change: 'added' } })
    await harbour.complete(task, evil.toWellFormed())
    const all = await eventually(() => said(task), (events) => completionsOf(events).length === 1, 'the completion')
    const words = JSON.stringify(all.map((event) => event.content))
    expect(words).toContain('&lt;img src=x')
    expect(words).not.toContain('[object Object]')
    expect(JSON.stringify(all.map((event) => event.content['formatted_body']))).not.toContain('<img')
    expect((await harbour.outbox('matrix')).dead).toBe(0)
  })

  test('is not told to an encrypted room: an alert says so, and the notices wait', async () => {
    const { harbour, start, bot } = await aWorld(server)
    const roomId = await bot.client.createRoom({ preset: 'private_chat', initial_state: [{ type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }] })
    const notifier = await start({ MATRIX_ROOM_ID: roomId })
    await harbour.submit()
    await eventually(() => Promise.resolve(notifier.output()), (output) => output.includes('is encrypted'), 'the alert')
    expect(await harbour.outbox('matrix')).toEqual({ waiting: 1, dead: 0 })
    expect((await bot.client.messages(roomId, undefined, 50)).chunk.filter((event) => event.type === 'm.room.message')).toEqual([])
  })

  test('goes to the room that is given, also by its alias', async () => {
    const { harbour, start, bot } = await aWorld(server)
    const roomId = await bot.client.createRoom({ room_alias_name: harbour.deployment })
    await start({ MATRIX_ROOM_ID: `#${harbour.deployment}:${bot.userId.split(':')[1]}` })
    const task = await harbour.submit()
    const [card] = await eventually(() => saidIn(bot.client, roomId), (all) => all.length > 0, 'the card')
    expect(card?.content[TASK_FIELD]).toMatchObject({ task_id: task.id })
  })
})

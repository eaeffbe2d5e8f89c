import { describeNeeding } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type Homeserver, type Person, saidIn, startHomeserver } from '../testing/homeserver.ts'
import { authorityOf } from '../testing/talk.ts'
import { aWorld, eventually, fieldOf, type World } from '../testing/world.ts'
import { openRoom } from './room.ts'

describeNeeding('synapse', 'rooms', () => {
  let server: Homeserver
  beforeAll(async () => { server = await startHomeserver() })
  afterAll(() => server.stop())

  const roomNamed = ({ bot, harbour }: World, rest: string) =>
    eventually(() => bot.client.resolveAlias(`#longshore-${harbour.deployment}${rest}:${server.serverName}`).catch(() => ''), (id) => id !== '', `the room ${rest}`)
  const mayJoin = (person: Person, roomId: string) => eventually(() => person.client.join(roomId).catch(() => ''), (joined) => joined === roomId, 'an invitation')
  const membership = async ({ bot }: World, roomId: string, person: Person) => (await bot.client.roomState(roomId, 'm.room.member', person.userId))?.['membership']

  test('L-28: each agent has a room, and nothing of another stands there', async () => {
    const world = await aWorld(server)
    await world.start()
    const [one, two] = [await world.harbour.start({ agent_id: 'agent-a' }), await world.harbour.start({ agent_id: 'agent-b' })]
    const said = async (agent: string) => saidIn(world.bot.client, await roomNamed(world, `_agent_${agent}`))
    await eventually(async () => [...await said('agent-a'), ...await said('agent-b')], (all) => all.length === 2, 'both cards')
    expect((await said('agent-a')).map((event) => fieldOf(event).task_id)).toEqual([one.id])
    expect((await said('agent-b')).map((event) => fieldOf(event).task_id)).toEqual([two.id])
  })

  test('a room per task stands in a space; its people are invited as it is made, follow the record in and out, and whom the operator names stays', async () => {
    const [ann, ben, chief] = [await server.person('ann'), await server.person('ben'), await server.person('chief')]
    const world = await aWorld(server, { MATRIX_ROOMS: 'task', MATRIX_DEFAULT_HUMAN_OBSERVERS: chief.userId })
    const { harbour, bot } = world
    await world.start()
    const task = await harbour.start({ observers: [ann.userId, chief.userId], title: 'Mend the crane' })
    const roomId = await roomNamed(world, `_${task.id}`)
    for (const person of [ann, chief]) await mayJoin(person, roomId)
    const space = await roomNamed(world, '_tasks')
    expect(await bot.client.roomState(space, 'm.space.child', roomId)).toMatchObject({ via: [server.serverName] })
    expect(await bot.client.roomState(roomId, 'm.room.name')).toEqual({ name: 'Mend the crane' })
    await harbour.observe(task, [ben.userId])
    await mayJoin(ben, roomId)
    await eventually(() => membership(world, roomId, ann), (is) => is === 'leave', 'the observer that was taken off to be out')
    expect(await membership(world, roomId, chief)).toBe('join')
  })

  test('who was taken off a task and is put on it again is called back, also by a notifier that knows nothing of it; who left is not', async () => {
    const [ann, ben] = [await server.person('ann'), await server.person('ben')]
    const world = await aWorld(server, { MATRIX_ROOMS: 'task' })
    const { harbour } = world
    const first = await world.start()
    const task = await harbour.start({ observers: [ann.userId, ben.userId] })
    const roomId = await roomNamed(world, `_${task.id}`)
    for (const person of [ann, ben]) await mayJoin(person, roomId)
    await ben.client.setState(roomId, 'm.room.member', ben.userId, { membership: 'leave' })
    await harbour.observe(task, [ben.userId])
    await eventually(() => membership(world, roomId, ann), (is) => is === 'leave', 'the observer to be out')
    await first.stop()
    await world.start()
    await harbour.observe(task, [ann.userId, ben.userId])
    await mayJoin(ann, roomId)
    expect(await membership(world, roomId, ben)).toBe('leave')
  })

  test('L-29: an observer reads and reacts; and what they write the homeserver refuses', async () => {
    const ann = await server.person('ann')
    const world = await aWorld(server)
    await world.start()
    const task = await world.harbour.start({ observers: [ann.userId] })
    const roomId = await world.room()
    await mayJoin(ann, roomId)
    const [card] = await eventually(() => world.said(task), (all) => all.length > 0, 'the card')
    const words = { msgtype: 'm.text', body: '!cancel' }
    await expect(ann.client.send(roomId, 'm.room.message', 'x1', words)).rejects.toMatchObject({ status: 403 })
    await expect(ann.client.setState(roomId, 'm.room.topic', '', { topic: 'mine' })).rejects.toMatchObject({ status: 403 })
    await ann.client.send(roomId, 'm.reaction', 'x2', { 'm.relates_to': { rel_type: 'm.annotation', event_id: card?.event_id, key: '✅' } })
  })

  test('whom the operator lets speak is heard, also in a room that was there before', async () => {
    const [boss, late, bot] = [await server.person('boss'), await server.person('late'), await server.person('bot')]
    const wish = { kind: 'ours', alias: `speak-${bot.userId.slice(1, 13)}`, name: 'n', topic: 't', isSpace: false, inSpace: false } as const
    const plan = { per: 'agent', given: undefined, deployment: 'd', botId: bot.userId, observers: [], answerers: [] } as const
    const speak = (person: Person, roomId: string) => person.client.send(roomId, 'm.room.message', 'x1', { msgtype: 'm.text', body: '!status' })
    const roomId = await openRoom(bot.client, wish, { ...plan, speakers: [boss.userId] }, [late.userId])
    for (const person of [boss, late]) await mayJoin(person, roomId)
    await speak(boss, roomId)
    await expect(speak(late, roomId)).rejects.toMatchObject({ status: 403 })
    expect(await openRoom(bot.client, wish, { ...plan, speakers: [late.userId] }, [])).toBe(roomId)
    await Promise.all([boss, late].map((person) => speak(person, roomId)))
  })

  test('an observer whom the homeserver takes for nobody keeps no room from being made, and those who may answer are let in with many observers', async () => {
    const boss = await server.person('boss')
    const world = await aWorld(server, authorityOf({ [boss.userId]: 'operator' }))
    await world.start()
    await world.harbour.start({ observers: ['@typo:no_such_server!', ...Array.from({ length: 25 }, (_, i) => `@nobody-${i}:${server.serverName}`)] })
    const roomId = await world.room()
    await eventually(() => world.said(), (all) => all.length > 0, 'the card')
    expect(await mayJoin(boss, roomId)).toBe(roomId)
  })

  test('G14: a room that somebody else put under our alias gets nothing, with an alert', async () => {
    const eve = await server.person('eve')
    const world = await aWorld(server)
    const trap = await eve.client.createRoom({ preset: 'public_chat', room_alias_name: `longshore-${world.harbour.deployment}_agent_agent-a` })
    const notifier = await world.start()
    await world.harbour.start()
    await eventually(() => Promise.resolve(notifier.output()), (output) => output.includes('was made by @eve'), 'the alert')
    expect((await world.harbour.outbox('matrix')).waiting).toBe(1)
    expect(await saidIn(eve.client, trap)).toEqual([])
  })

  test('a room that is encrypted blocks its own lane only', async () => {
    const world = await aWorld(server)
    const notifier = await world.start()
    const first = await world.harbour.start()
    const roomId = await world.room()
    await eventually(() => world.said(first), (all) => all.length > 0, 'the card')
    await world.bot.client.setState(roomId, 'm.room.encryption', '', { algorithm: 'm.megolm.v1.aes-sha2' })
    await notifier.stop()
    const next = await world.start()
    await world.harbour.complete(first, 'done')
    await eventually(() => Promise.resolve(next.output()), (output) => output.includes('is encrypted'), 'the alert')
    await world.harbour.complete(await world.harbour.start({ agent_id: 'agent-b' }), 'done')
    const other = await roomNamed(world, '_agent_agent-b')
    await eventually(() => saidIn(world.bot.client, other), (all) => all.some((event) => fieldOf(event).kind === 'completion'), 'the other agent\'s completion')
    expect((await world.said(first)).map((event) => fieldOf(event).kind)).not.toContain('completion')
  })
})

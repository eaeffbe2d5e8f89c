import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { Task } from '@longshore/contracts'
import { outboxPrefix } from '@longshore/outbox'
import { type Homeserver, startHomeserver } from '../testing/homeserver.ts'
import type { NotifierProcess } from '../testing/notifier-process.ts'
import { type Hook, isSend, startProxy } from '../testing/proxy.ts'
import { aWorld, completionsOf, ends, eventually, fieldOf, rootsOf, type World } from '../testing/world.ts'

describeNeeding('synapse', 'G8: one notice per fact', () => {
  let server: Homeserver
  beforeAll(async () => { server = await startHomeserver() })
  afterAll(() => server.stop())

  const freeLease = (world: World) => world.harbour.freeLeases('matrix')

  async function told(world: World): Promise<{ cards: string[]; completions: string[]; outbox: object }> {
    await eventually(() => world.harbour.outbox('matrix'), ({ waiting }) => waiting === 0, 'an empty outbox', 60_000)
    await eventually(() => world.said(), (all) => completionsOf(all).length > 0, 'completions')
    const all = await world.said()
    const idsOf = (events: typeof all) => events.map((event) => fieldOf(event).task_id).sort()
    return { cards: idsOf(rootsOf(all)), completions: idsOf(completionsOf(all)), outbox: await world.harbour.outbox('matrix') }
  }
  const oneEach = (tasks: readonly Task[]) => {
    const ids = tasks.map((task) => task.id).sort()
    return { cards: ids, completions: ids, outbox: { waiting: 0, dead: 0 } }
  }

  test.each([
    ['before the homeserver has it', async (_, __, kill) => (await kill(), 'drop')],
    ['after the homeserver has it and before it answers', async (_, pass, kill) => (await pass(), await kill(), 'drop')],
    ['when the answer is on its way', async (_, pass, kill) => { const answer = await pass(); setImmediate(() => void kill()); return answer }],
  ] as [string, (call: Parameters<Hook>[0], pass: Parameters<Hook>[1], kill: () => Promise<void>) => ReturnType<Hook>][])('the notifier dies at every send, %s', async (_, act) => {
    const proxy = ends(await startProxy(server.baseUrl))
    const world = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    const tasks: Task[] = []
    for (let i = 0; i < 2; i++) tasks.push(await world.harbour.start())
    for (const task of tasks) await world.harbour.complete(task, 'done')
    let notifier: NotifierProcess | undefined
    let deaths = 0
    const seen = new Set<string>()
    proxy.hook = async (call, pass) => {
      if (!isSend(call) || seen.has(call.path)) return pass()
      seen.add(call.path)
      deaths += 1
      return act(call, pass, async () => notifier?.kill9())
    }
    // Two roots and two completions: each first try costs a notifier its life.
    for (let life = 1; life <= 4; life++) {
      notifier = await world.start()
      await waitFor(() => deaths >= life, { what: `death ${life}` })
      await notifier.kill9()
      await freeLease(world)
    }
    expect(deaths).toBe(4)
    await world.start()
    expect(await told(world)).toEqual(oneEach(tasks))
  })

  test('notifiers die at random moments while tasks come and end', async () => {
    const world = await aWorld(server)
    const tasks: Task[] = []
    for (let life = 0; life < 8; life++) {
      const notifier = await world.start()
      for (let i = 0; i < 4; i++) {
        const task = await world.harbour.start()
        tasks.push(task)
        await world.harbour.say(task, { type: 'task.tool', payload: { tool: 'bash', title: 'ls', status: 'completed' } })
        await world.harbour.complete(task, 'done')
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 250))
      await notifier.kill9()
      await freeLease(world)
    }
    await world.start()
    expect(await told(world)).toEqual(oneEach(tasks))
  }, 120_000)

  test('three notifiers tell each fact once; when the one that follows dies, another goes on within seconds', async () => {
    const world = await aWorld(server)
    const notifiers = [await world.start(), await world.start(), await world.start()]
    const following = () => notifiers.filter((one) => one.output().includes('this notifier follows the events'))
    const first = await world.harbour.start()
    await eventually(() => world.said(first), (all) => all.length > 0, 'the card')
    expect(following()).toHaveLength(1)
    await following()[0]?.kill9()
    const died = performance.now()
    await world.harbour.complete(first, 'done')
    await eventually(() => world.said(first), (all) => completionsOf(all).length === 1, 'the completion')
    expect(performance.now() - died).toBeLessThan(8_000)
    expect(await told(world)).toEqual(oneEach([first]))
  })

  test('a notifier that is told to stop exits 0 and the next one goes on at once', async () => {
    const world = await aWorld(server)
    const notifier = await world.start()
    const task = await world.harbour.start()
    await eventually(() => world.said(task), (all) => all.length > 0, 'the card')
    expect(await notifier.stop()).toBe(0)
    expect(await world.harbour.redis.keys(`${outboxPrefix(world.harbour.deployment, 'matrix')}lease:*`)).toEqual([])
    await world.harbour.complete(task, 'done')
    await world.start()
    expect(await told(world)).toEqual(oneEach([task]))
  })

  test('an entry older than a homeserver remembers ids for is looked for before it is sent again', async () => {
    const proxy = ends(await startProxy(server.baseUrl))
    const world = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    const notifier = await world.start()
    proxy.hook = async (call, pass) => {
      const answer = await pass()
      return isSend(call) ? (await notifier.kill9(), 'drop' as const) : answer
    }
    const task = await world.harbour.submit()
    const sending = `${outboxPrefix(world.harbour.deployment, 'matrix')}sending`
    await waitFor(async () => (await world.harbour.redis.exists(sending)) === 1 && (await world.said(task)).length === 1, { what: 'a send without an answer' })
    // As if a day had passed: frozen long ago, and the homeserver does not know the id any more.
    const stored = JSON.parse((await world.harbour.redis.hget(sending, 'agent:agent-a')) ?? '{}') as { frozen: string }
    const frozen = JSON.parse(stored.frozen) as { frozen_at: number; txn: string }
    const old = { ...frozen, frozen_at: frozen.frozen_at - 21 * 3_600_000, txn: `${frozen.txn}-forgotten` }
    await world.harbour.redis.hset(sending, 'agent:agent-a', JSON.stringify({ ...stored, frozen: JSON.stringify(old) }))
    await freeLease(world)
    proxy.hook = (_, pass) => pass()
    await world.start()
    await eventually(() => world.harbour.outbox('matrix'), ({ waiting }) => waiting === 0, 'an empty outbox')
    expect(await world.said(task)).toHaveLength(1)
  })
})

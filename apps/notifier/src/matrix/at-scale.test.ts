import { type Chance, createChance, describeNeeding, startRedis, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { Task } from '@longshore/contracts'
import { type Homeserver, saidIn, startHomeserver } from '../testing/homeserver.ts'
import type { NotifierProcess } from '../testing/notifier-process.ts'
import { aWorld, ends, fieldOf, isEdit, type World } from '../testing/world.ts'

// A soak runs it at the size that the guarantee names (e2e/soak/cases.ts).
const TASKS = Number(process.env['SOAK_TASKS'] ?? 60)
const KILLS = Number(process.env['SOAK_KILLS'] ?? 6)
const AGENTS = 5
const NOTIFIERS = 3

describeNeeding('synapse', `G8 at scale: ${KILLS} deaths while ${TASKS} tasks end`, () => {
  let server: Homeserver
  const chance = createChance()
  beforeAll(async () => { server = await startHomeserver() })
  afterAll(() => server.stop())

  test('each ending is told once, none twice and none not at all', async () => {
    const world = await aWorld(server)
    const deaths = { done: 0, all: KILLS }
    const [tasks] = await Promise.all([endAll(world, deaths), dieOften(world, deaths, chance)])
    expect(await toldOf(world), `seed ${chance.seed}`).toEqual(onceEach(tasks))
  }, 450_000)

  test('the same when Redis dies, too, and comes back from its AOF', async () => {
    const redis = ends(await startRedis({ aof: 'always' }))
    const world = await aWorld(server, {}, redis.url)
    const redisDies = async (): Promise<void> => {
      for (let i = 1; i <= 3; i++) {
        await waitFor(async () => (await world.harbour.ledger.list({ limit: 1, offset: (i * TASKS) / 4 })).length > 0, { what: `${i} quarters of the tasks`, timeoutMs: 400_000 })
        await redis.kill9()
        await redis.restart()
      }
    }
    const deaths = { done: 0, all: Math.ceil(KILLS / 5) }
    const [tasks] = await Promise.all([endAll(world, deaths), dieOften(world, deaths, chance), redisDies()])
    expect(await toldOf(world), `seed ${chance.seed}`).toEqual(onceEach(tasks))
  }, 450_000)
})

interface Deaths { done: number; readonly all: number }

/** Agents submit, workers end; no faster than notifiers die, or all would be over before the second death. */
async function endAll({ harbour }: World, deaths: Deaths): Promise<Task[]> {
  const tasks: Task[] = []
  for (let i = 0; i < TASKS; i++) {
    await waitFor(() => deaths.done >= Math.floor((i / TASKS) * deaths.all), { what: `death ${(i / TASKS) * deaths.all}`, timeoutMs: 60_000 })
    const task = await harbour.start({ agent_id: `agent-${i % AGENTS}` })
    tasks.push(task)
    await harbour.say(task, { type: 'task.tool', payload: { tool: 'bash', title: `step ${i}`, status: 'completed' } })
    await harbour.complete(task, `done ${i}`)
  }
  return tasks
}

/** Several notifiers at a time; each is killed at a random moment and followed by another, so that some of them die at work. */
async function dieOften(world: World, deaths: Deaths, chance: Chance): Promise<void> {
  let left = deaths.all
  const oneAfterAnother = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const notifier: NotifierProcess = await world.start()
      await new Promise((resolve) => setTimeout(resolve, chance.between(0, 1_500)))
      await notifier.kill9()
      deaths.done += 1
    }
    await world.start()
  }
  await Promise.all(Array.from({ length: NOTIFIERS }, oneAfterAnother))
}

/** How often each task's card and ending stand in the rooms, once nothing waits any more. */
async function toldOf(world: World): Promise<Record<string, string>> {
  const { harbour, bot } = world
  await waitFor(async () => {
    const { waiting } = await harbour.outbox('matrix')
    return waiting === 0 && (await said(world)).filter((event) => fieldOf(event).kind === 'completion').length >= TASKS
  }, { what: 'everything to be told', timeoutMs: 300_000, everyMs: 2_000 })
  const counts: Record<string, { cards: number; completions: number }> = {}
  for (const event of await said(world)) {
    const { task_id: id, kind } = fieldOf(event)
    if (isEdit(event) || event.sender !== bot.userId) continue
    const count = (counts[id] ??= { cards: 0, completions: 0 })
    if (kind === 'card') count.cards += 1
    if (kind === 'completion') count.completions += 1
  }
  return Object.fromEntries(Object.entries(counts).map(([id, { cards, completions }]) => [id, `${cards} card, ${completions} completion`]))
}

async function said({ bot, harbour }: World) {
  const domain = bot.userId.slice(bot.userId.indexOf(':') + 1)
  const rooms = await Promise.all(Array.from({ length: AGENTS }, (_, i) => bot.client.resolveAlias(`#longshore-${harbour.deployment}_agent_agent-${i}:${domain}`).catch(() => undefined)))
  return (await Promise.all(rooms.filter((room) => room !== undefined).map((room) => saidIn(bot.client, room)))).flat()
}

const onceEach = (tasks: readonly Task[]): Record<string, string> => Object.fromEntries(tasks.map(({ id }) => [id, '1 card, 1 completion']))

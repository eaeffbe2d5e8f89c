import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'

import { type NewTask, type Task, taskIdFrom } from '@longshore/contracts'

import type { Ledger, TaskFilter } from './ledger.ts'
import { aTask, claimOf, completed, connect, ticket, type World } from './testing/world.ts'
import written from './testing/written-by-version-1.json' with { type: 'json' }

const open = connect()
let world: World
let ledger: Ledger
beforeEach(() => {
  world = open()
  ledger = world.ledger
})

const many = async (count: number, more: Partial<NewTask> = {}): Promise<Task[]> => {
  const tasks: Task[] = []
  for (let i = 0; i < count; i++) tasks.push(await world.submitted(more))
  return tasks
}
const end = async (task: Task, state: 'completed' | 'cancelled' = 'completed'): Promise<Task> => {
  if (state === 'cancelled') await ledger.cancel(task.id, 'test')
  else await ledger.end(claimOf(await world.taken(task, 'w')), completed)
  return world.now(task.id)
}
/** All pages, one after the other. */
async function all(filter: TaskFilter, limit = 50): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | undefined
  do {
    const page = await ledger.search(filter, { limit, cursor })
    expect(page.tasks.length).toBeLessThanOrEqual(limit)
    ids.push(...page.tasks.map(({ id }) => id))
    cursor = page.next
  } while (cursor !== undefined)
  return ids
}
const newestFirst = (tasks: readonly Task[]) => tasks.toSorted((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1)).map(({ id }) => id)
/** Everything of the index that there is. */
const indexKeys = async () => (await Promise.all(['index:*', 'titles', 'ended'].map((what) => world.redis.keys(`${world.keys.prefix}${what}`)))).flat().toSorted()

describe('what is found', () => {
  test('by agent, state, mode and profile, and all of them together', async () => {
    const [a] = await many(1, { profile: 'claude', title: 'one' })
    const [b, c] = await many(2, { agent_id: 'agent-b', mode: 'opencode', title: 'two' })
    await end(c as Task, 'cancelled')
    const ids = newestFirst([a, b, c] as Task[])
    expect(await all({})).toEqual(ids)
    expect(await all({ agentId: 'agent-a' })).toEqual([a?.id])
    expect(await all({ states: ['queued'] })).toEqual(newestFirst([a, b] as Task[]))
    expect(await all({ states: ['cancelled', 'running'] })).toEqual([c?.id])
    expect(await all({ mode: 'opencode' })).toEqual(newestFirst([b, c] as Task[]))
    expect(await all({ profile: 'claude' })).toEqual([a?.id])
    expect(await all({ agentId: 'agent-b', states: ['queued'], mode: 'opencode', profile: 'opencode' })).toEqual([b?.id])
    expect(await all({ agentId: 'agent-b', profile: 'claude' })).toEqual([])
    expect(await all({ agentId: 'agent-nobody' })).toEqual([])
  })

  test('in each state that a task goes through, and in no other', async () => {
    const task = await world.submitted()
    const inState = async () => Promise.all((['queued', 'running', 'paused', 'completed'] as const).map(async (state) => (await all({ agentId: 'agent-a', states: [state] })).length))
    expect(await inState()).toEqual([1, 0, 0, 0])
    await ledger.pause(task.id, 'test')
    expect(await inState()).toEqual([0, 0, 1, 0])
    await ledger.resume(task.id, 'test')
    await ledger.take(ticket(await world.now(task.id)), 'w')
    expect(await inState()).toEqual([0, 1, 0, 0])
    await ledger.end(claimOf(await world.now(task.id)), completed)
    expect(await inState()).toEqual([0, 0, 0, 1])
  })

  test('by the time of its creation and of its end, the first moment included and the last not', async () => {
    const [first, second, third] = await many(3) as [Task, Task, Task]
    const done = await end(second)
    await end(third, 'cancelled')
    const at = done.ended_at ?? 0
    expect(await all({ endedFrom: at, endedBefore: at + 1, states: ['completed'] })).toEqual([second.id])
    expect(await all({ endedBefore: at, states: ['completed'] })).toEqual([])
    expect(await all({ endedFrom: 0 })).toEqual(newestFirst([second, third]))
    expect(await all({ endedFrom: 0, states: ['queued'] })).toEqual([])
    expect(await all({ createdFrom: third.created_at + 1 })).toEqual([])
    expect(await all({ createdBefore: first.created_at })).toEqual([])
    expect(await all({ createdFrom: first.created_at, createdBefore: third.created_at + 1 })).toEqual(newestFirst([first, second, third]))
  })

  test('by the beginning of its title, whatever its case; what looks like a pattern is a letter', async () => {
    const titles = ['Fix the parser', 'FIX THE LEXER', 'fi', 'ΟΔΟΣΙΑ', '* [a-z]\\ %', `${'x'.repeat(100)} end`]
    const tasks: Task[] = []
    for (const title of titles) tasks.push(await world.submitted({ title }))
    const found = async (titlePrefix: string) => (await ledger.search({ titlePrefix }, { limit: 50 })).tasks.map(({ title }) => title)
    expect(await all({ titlePrefix: 'fix THE' })).toEqual(newestFirst(tasks.slice(0, 2)))
    expect(await found('fi')).toHaveLength(3)
    expect(await found('οδος')).toEqual(['ΟΔΟΣΙΑ'])
    expect(await found('*')).toEqual(['* [a-z]\\ %'])
    expect(await found('* [a-z]\\')).toEqual(['* [a-z]\\ %'])
    expect(await found(`${'X'.repeat(100)} e`)).toHaveLength(1)
    expect(await found(`${'x'.repeat(100)} f`)).toEqual([])
    expect(await found('')).toHaveLength(titles.length)
    for (const hostile of ['\0', '\u{10FFFF}', '\uFFFF', '[', '(', '+', '-', 'x'.repeat(100_000), '\n', '\u202E']) {
      expect(await found(hostile)).toSatisfy((titlesFound: string[]) => titlesFound.length === 0 || hostile === '\0' || hostile === '\n' || hostile === '\u202E')
    }
    // G11: also on the way through the titles.
    expect(await all({ agentId: 'agent-b', titlePrefix: 'fix' })).toEqual([])
  })
})

describe('pages', () => {
  test('each task once, however many came in the same moment, also when new ones come and others change meanwhile', async () => {
    const tasks = await Promise.all(Array.from({ length: 60 }, () => world.submitted()))
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await ledger.search({}, { limit: 7, cursor })
      seen.push(...page.tasks.map(({ id }) => id))
      cursor = page.next
      const [oldest] = tasks
      if (seen.length === 7) await Promise.all([world.submitted(), end(await world.now(oldest?.id as Task['id']), 'cancelled'), ledger.cancel(seen[0] as Task['id'], 'test')])
    } while (cursor !== undefined)
    expect(seen).toEqual(newestFirst(tasks))
  })

  test('a title that very many begin with is met on the way', async () => {
    const script = (n: number, title: string) => ledger.submit(aTask({ id: taskIdFrom(randomBytes(52)), title: `${title} ${n}` }))
    await Promise.all(Array.from({ length: 2_010 }, (_, n) => script(n, n % 3 === 0 ? 'Rare' : 'common')))
    expect(await all({ titlePrefix: 'COMMON', createdFrom: 1 }, 200)).toHaveLength(1_340)
    await Promise.all(Array.from({ length: 1_000 }, (_, n) => script(n, 'Common')))
    const ids = await all({ titlePrefix: 'common' }, 200)
    expect([ids.length, new Set(ids).size]).toEqual([2_340, 2_340])
  })
})

describe('the index', () => {
  test.each([{}, { titlePrefix: 'write' }, { endedFrom: 0 }])('of a deleted record nothing is found, and what led to it is gone (%j)', async (filter) => {
    const [gone, stays] = await many(2) as [Task, Task]
    await Promise.all([end(gone), end(stays)])
    await world.redis.del(world.keys.task(gone.id))
    expect(await all({ ...filter, agentId: 'agent-a' })).toEqual([stays.id])
    expect(await all(filter)).toEqual([stays.id])
    const { index, titles, ended } = world.keys
    const looked = 'titlePrefix' in filter ? titles : 'endedFrom' in filter ? ended : index('agent-a', 'completed', 'docker:opencode')
    expect(await world.redis.zcard(looked)).toBe(1)
  })

  test('tasks of builds that knew of none are brought in once, and found as all others', async () => {
    const pipeline = world.redis.pipeline()
    for (const [key, commands] of Object.entries(written.keys)) {
      for (const [command, values] of Object.entries(commands)) pipeline.call(command, [world.keys.prefix + key, ...values])
    }
    await pipeline.exec()
    expect(await ledger.search({}, { limit: 10 })).toEqual({ tasks: [], isIndexing: true })
    expect(await ledger.indexOlder(new AbortController().signal)).toBe(5)
    const page = await ledger.search({ states: ['completed'] }, { limit: 10 })
    expect(page).toMatchObject({ tasks: [{ title: 'completed' }], isIndexing: false })
    expect(await all({ titlePrefix: 'hand' })).toEqual([written.names['handed over']])
    expect(await all({ endedFrom: 0 })).toEqual([written.names.completed])
    const before = await indexKeys()
    expect(await ledger.indexOlder(new AbortController().signal)).toBeLessThan(5)
    expect(await indexKeys()).toEqual(before)
  })

  test('what a build without an index moved stands where it is by the next look', async () => {
    const [task] = await many(1) as [Task]
    await world.redis.hset(world.keys.task(task.id), { state: 'failed', ended_at: task.created_at + 5 })
    expect(await all({ states: ['failed'] })).toEqual([])
    expect(await all({ states: ['queued'] })).toEqual([])
    await ledger.indexOlder(new AbortController().signal)
    expect(await all({ states: ['failed'] })).toEqual([task.id])
    expect(await world.redis.zcard(world.keys.index('', 'queued', 'docker:opencode'))).toBe(0)
  })

  test('a record that cannot be read ends all the same, and hides no other', async () => {
    const [broken, fine] = await many(2) as [Task, Task]
    await world.redis.hset(world.keys.task(broken.id), 'brief', '{"not')
    await ledger.cancel(broken.id, 'test').catch(() => undefined)
    expect(await world.redis.hget(world.keys.task(broken.id), 'state')).toBe('cancelled')
    expect(await all({})).toEqual([fine.id])
    await ledger.indexOlder(new AbortController().signal)
    expect(await all({})).toEqual([fine.id])
  })
})

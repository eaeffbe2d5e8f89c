import { type NewTask, TaskId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { Ledger, TaskFilter } from './ledger.ts'
import { summaries } from './queries.ts'
import { boundsOf, matches, type Peeked } from './search-plan.ts'
import { type Source, sourceOf } from './search-source.ts'
import { idIn } from './task-index.ts'

/** Records that one search looks at; a page that is not full by then is answered as it is, with where to go on. */
const EXAMINE_MOST = 5_000
const CHUNK = 200

/** Finds tasks by what they are, newest first. Nothing that stays as it is comes twice or not at all, whatever happens between two pages. */
export function search(context: LedgerContext): Pick<Ledger, 'search'> {
  const { redis, keys } = context
  return {
    async search(filter, { limit, cursor }) {
      const source = await sourceOf(context, filter, boundsOf(filter, cursor))
      const { found, next } = await examine(context, source, filter, limit)
      const tasks = await summaries(context, found.map(idIn))
      const isIndexing = (await redis.hexists(keys.indexed, 'whole')) === 0 && (await redis.exists(keys.tasks)) === 1
      return { tasks, isIndexing, ...(next === undefined ? {} : { next }) }
    },
  }
}

/** The stamps of one page, and after which of them there may be more. */
async function examine(context: LedgerContext, source: Source, filter: TaskFilter, limit: number): Promise<{ found: string[]; next?: string }> {
  const found: string[] = []
  let [last, examined]: [string | undefined, number] = [undefined, 0]
  while (examined < EXAMINE_MOST) {
    const count = examined === 0 ? Math.min(limit + 1, CHUNK) : CHUNK
    const stamps = await source.before(last, count)
    const records = await peek(context, stamps)
    for (const [i, stamp] of stamps.entries()) {
      const record = records[i]
      if (record === 'gone') await source.forget(stamp)
      else if (record !== undefined && matches(record, filter)) {
        if (found.length === limit) return { found, next: found.at(-1) ?? stamp }
        found.push(stamp)
      }
      last = stamp
    }
    examined += stamps.length
    if (stamps.length < count) return { found }
  }
  return last === undefined ? { found } : { found, next: last }
}

/** `gone`: somebody deleted the record. undefined: it cannot be read. */
async function peek({ redis, keys }: Pick<LedgerContext, 'redis' | 'keys'>, stamps: readonly string[]): Promise<(Peeked | 'gone' | undefined)[]> {
  const rows = await redis.pipeline(stamps.map((stamp) => ['hmget', keys.task(idIn(stamp)), 'brief', 'state', 'created_at', 'ended_at'])).exec()
  return (rows ?? []).map(([error, row]) => {
    if (error !== null) throw error
    const [brief, state, createdAt, endedAt] = row as (string | null)[]
    return typeof brief === 'string' ? peekedFrom(brief, state ?? '', Number(createdAt), endedAt ?? undefined) : 'gone'
  })
}

/** Not checked as a whole: of thousands of records most are only looked at, and what is answered is. */
function peekedFrom(brief: string, state: string, created_at: number, endedAt: string | undefined): Peeked | undefined {
  try {
    const { agent_id, mode, profile, title } = JSON.parse(brief) as NewTask
    return { agent_id, mode, profile, title, state: state as Peeked['state'], created_at, ...(endedAt === undefined ? {} : { ended_at: Number(endedAt) }) }
  } catch {
    return undefined
  }
}

/** Where a page ended, as somebody outside gives it back. */
export function isSearchCursor(text: string): boolean {
  return /^\d{13}/.test(text) && TaskId.safeParse(idIn(text)).success
}

import type { LedgerContext } from './create-ledger.ts'
import type { TaskFilter } from './ledger.ts'
import { kindsOf, statesOf } from './search-plan.ts'
import { idIn, indexedTitle, stampIn } from './task-index.ts'

/** Where a search looks: stamps of candidates, newest first. All that is looked for is among them. */
export interface Source {
  /** Those older than `stamp`; fewer than `count` only at the end. */
  before(stamp: string | undefined, count: number): Promise<string[]>
  /** The record of this one was deleted: so is what led here. */
  forget(stamp: string): Promise<void>
}

interface Bounds { min: string; max: string }

/** So many candidates are cheaper read at once than looked for among all tasks. With more of them they are dense enough to be met on the way. */
const FEW = 2_000

/** The shortest way: by title or by end where few tasks have it, else by state and kind in the order of time. */
export async function sourceOf(context: LedgerContext, filter: TaskFilter, bounds: Bounds): Promise<Source> {
  const { redis, keys } = context
  const { agentId = '', titlePrefix, endedFrom, endedBefore } = filter
  if (titlePrefix !== undefined && titlePrefix !== '') {
    const range = rangeOf(indexedTitle(titlePrefix))
    if ((await redis.zlexcount(keys.titles, ...range)) <= FEW) return listed(context, keys.titles, await redis.zrangebylex(keys.titles, ...range), bounds)
  }
  if (endedFrom !== undefined || endedBefore !== undefined) {
    const range = [String(endedFrom ?? '-inf'), endedBefore === undefined ? '+inf' : `(${endedBefore}`] as const
    if ((await redis.zcount(keys.ended, ...range)) <= FEW) return listed(context, keys.ended, await redis.zrangebyscore(keys.ended, ...range), bounds)
  }
  const kinds = kindsOf(await redis.smembers(keys.kinds), filter)
  return walked(context, statesOf(filter).flatMap((state) => kinds.map((kind) => keys.index(agentId, state, kind))), bounds)
}

/** All members that begin so: no byte of UTF-8 is 0xff. */
function rangeOf(prefix: string): [Buffer, Buffer] {
  return [Buffer.from(`[${prefix}`), Buffer.concat([Buffer.from(`(${prefix}`), Buffer.from([0xff])])]
}

function listed({ redis, keys }: LedgerContext, key: string, members: readonly string[], { min, max }: Bounds): Source {
  const byStamp = new Map(members.map((member) => [stampIn(member), member]))
  const stamps = [...byStamp.keys()].filter((stamp) => stamp >= min && stamp < max).toSorted().toReversed()
  return {
    before: async (stamp, count) => {
      const from = stamp === undefined ? 0 : stamps.indexOf(stamp) + 1
      return stamps.slice(from, from + count)
    },
    forget: async (stamp) => void (await redis.pipeline([['zrem', key, byStamp.get(stamp) ?? stamp], ['zrem', keys.tasks, idIn(stamp)]]).exec()),
  }
}

/** Several indexes as one. */
function walked({ redis, keys }: LedgerContext, indexes: readonly string[], { min, max }: Bounds): Source {
  return {
    before: async (stamp = max, count) => {
      // In one step: a task that changes its state between two looks would be in neither.
      const rows = await redis.multi(indexes.map((key) => ['zrevrangebylex', key, `(${stamp}`, `[${min}`, 'LIMIT', 0, count])).exec()
      const all = (rows ?? []).flatMap(([error, members]) => { if (error !== null) throw error; return members as string[] })
      // What a build without an index moved can stand in two.
      return [...new Set(all)].toSorted().toReversed().slice(0, count)
    },
    forget: async (stamp) => void (await redis.pipeline([...indexes.map((key) => ['zrem', key, stamp]), ['zrem', keys.tasks, idIn(stamp)]]).exec()),
  }
}

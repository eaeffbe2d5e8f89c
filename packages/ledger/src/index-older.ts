import { TASK_STATES, TaskId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { Ledger } from './ledger.ts'
import { script } from './script.ts'
import { LIVE_STATES } from './search-plan.ts'
import { idIn, indexedTitle } from './task-index.ts'

const BATCH = 100

/** ARGV: id and folded title of each task. Each stands in the index as its record says, and nowhere else. */
const INDEX_TASKS = script(`
for i = 1, #ARGV, 2 do
  local t = open(ARGV[i])
  local scopes, kind = {}, nil
  if t then scopes, kind = facets(t) end
  for _, scope in ipairs(scopes) do
    for _, state in ipairs({ ${TASK_STATES.map((state) => `'${state}'`).join(', ')} }) do
      if state ~= t.state then redis.call('ZREM', P .. 'index:' .. scope .. ':' .. state .. ':' .. kind, stamp(t)) end
    end
  end
  if kind then
    reindex(t, nil, t.state)
    indexTitle(t, ARGV[i + 1])
    local at = redis.call('HGET', taskKey(t.id), 'ended_at')
    if at then indexEnd(t, at) end
  end
end
`)

/** Brings into the index what a build that knew of none has written, before this one or beside it. */
export function indexing(context: LedgerContext): Pick<Ledger, 'indexOlder'> {
  return {
    async indexOlder(signal) {
      await indexLive(context, signal)
      return indexFrom(context, signal)
    },
  }
}

/** From where the last call ended: oldest first, by small steps, so that nobody waits for them. */
async function indexFrom({ redis, keys, run }: LedgerContext, signal: AbortSignal): Promise<number> {
  let from = await redis.hget(keys.indexed, 'to') ?? '-inf'
  for (let count = 0; !signal.aborted;) {
    const ids = await redis.zrangebyscore(keys.tasks, from, '+inf', 'LIMIT', 0, BATCH)
    await run(INDEX_TASKS, ...await withTitles({ redis, keys }, ids))
    count += ids.length
    const last = ids.length === 0 ? null : await redis.zscore(keys.tasks, ids.at(-1) ?? '')
    // As many at one moment as a step takes: none of them is left out, and it gets on.
    if (last !== null) from = ids.length === BATCH && last === from ? `(${last}` : last
    if (last !== null) await redis.hset(keys.indexed, 'to', last)
    if (ids.length < BATCH) {
      await redis.hset(keys.indexed, 'whole', 1)
      return count
    }
  }
  return 0
}

/** Only what is not over moves: what stands wrong does so among those. */
async function indexLive({ redis, keys, run }: LedgerContext, signal: AbortSignal): Promise<void> {
  const kinds = await redis.smembers(keys.kinds)
  for (const key of LIVE_STATES.flatMap((state) => kinds.map((kind) => keys.index('', state, kind)))) {
    for (let from = '-'; !signal.aborted;) {
      const stamps = await redis.zrangebylex(key, from, '+', 'LIMIT', 0, BATCH)
      await run(INDEX_TASKS, ...await withTitles({ redis, keys }, stamps.map(idIn)))
      if (stamps.length < BATCH) break
      from = `(${stamps.at(-1)}`
    }
  }
}

async function withTitles({ redis, keys }: Pick<LedgerContext, 'redis' | 'keys'>, ids: readonly string[]): Promise<string[]> {
  const rows = await redis.pipeline(ids.map((id) => ['hget', keys.task(TaskId.parse(id)), 'brief'])).exec()
  return ids.flatMap((id, i) => {
    const brief = rows?.[i]?.[1]
    const title = typeof brief === 'string' ? titleIn(brief) : undefined
    return title === undefined ? [] : [id, indexedTitle(title)]
  })
}

function titleIn(brief: string): string | undefined {
  try {
    return (JSON.parse(brief) as { title: string }).title
  } catch {
    return undefined
  }
}

import { type Spent, Usage, UsageLine } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { Ledger } from './ledger.ts'

const DAY_MS = 24 * 60 * 60 * 1_000
/** Totals are kept for a year and a month: long enough to compare with the year before. */
const KEPT_S = 400 * DAY_MS / 1_000

/**
 * Lua: `spend` counts one usage event towards its task, its agent's day and the totals, in the step that appends it: never twice, never
 * lost. `spentBy`: an agent's tokens and cost of the day. Days are UTC, by the clock of Redis; keys carry their number since 1970.
 */
export const SPEND = `
local function dayOf(at) return int(math.floor(at / ${DAY_MS})) end
local function spend(t, payload, at)
  -- an error here would be met by every append of the task: what is no number counts as nothing, and a sum that is full stays so
  local used, b = {}, brief(t)
  for metric, n in pairs(cjson.decode(payload)) do used[metric] = math.max(0, tonumber(n) or 0) end
  local function of(metric) return used[metric] or 0 end
  local totals, spent = P .. 'usage:' .. dayOf(at), P .. 'spent:' .. dayOf(at)
  local tokens = of('input_tokens') + of('output_tokens') + of('reasoning_tokens') + of('cache_write_tokens')
  for metric, n in pairs(used) do
    if n > 0 then redis.pcall('HINCRBY', totals, b.agent_id .. ' ' .. (b.profile or 'opencode') .. ' ' .. b.mode .. ' ' .. metric, int(n)) end
  end
  for metric, n in pairs({ tokens = tokens, cost_micros = of('cost_micros') }) do
    redis.pcall('HINCRBY', spent, b.agent_id .. ' ' .. metric, int(n))
    redis.pcall('HINCRBY', taskKey(t.id), metric, int(n))
  end
  redis.call('EXPIRE', totals, ${KEPT_S})
  redis.call('EXPIRE', spent, ${KEPT_S})
end
local function spentBy(agent, at)
  local r = redis.call('HMGET', P .. 'spent:' .. dayOf(at), agent .. ' tokens', agent .. ' cost_micros')
  return { tonumber(r[1]) or 0, tonumber(r[2]) or 0 }
end
`

/** The totals that `spend` keeps. */
export function usageQueries({ redis, keys }: Pick<LedgerContext, 'redis' | 'keys'>): Pick<Ledger, 'spentToday' | 'usage'> {
  return {
    async spentToday(agentId): Promise<Spent> {
      const [seconds] = await redis.time()
      const [tokens, cost] = await redis.hmget(keys.spent(Math.floor(Number(seconds) * 1_000 / DAY_MS)), `${agentId} tokens`, `${agentId} cost_micros`)
      return { tokens: Number(tokens ?? 0), cost_micros: Number(cost ?? 0) }
    },
    async usage(from, to) {
      const days = Array.from({ length: dayNumber(to) - dayNumber(from) + 1 }, (_, i) => dayNumber(from) + i)
      const totals = await Promise.all(days.map((day) => redis.hgetall(keys.usage(day))))
      return days.flatMap((day, i) => linesOf(new Date(day * DAY_MS).toISOString().slice(0, 10), totals[i] ?? {}))
    },
  }
}

function dayNumber(day: string): number {
  return Math.floor(Date.parse(`${day}T00:00:00Z`) / DAY_MS)
}

const NOTHING = Object.fromEntries(Object.keys(Usage.shape).map((metric) => [metric, 0]))

function linesOf(day: string, totals: Readonly<Record<string, string>>): UsageLine[] {
  const lines = new Map<string, Record<string, unknown>>()
  for (const [field, n] of Object.entries(totals)) {
    const [agent_id, profile, mode, metric] = field.split(' ')
    const key = `${agent_id} ${profile} ${mode}`
    const line = lines.get(key) ?? { day, agent_id, profile, mode, ...NOTHING }
    lines.set(key, { ...line, [metric ?? '']: Math.min(Number.MAX_SAFE_INTEGER, Number(n)) })
  }
  return [...lines.entries()].toSorted(([a], [b]) => a.localeCompare(b)).map(([, line]) => UsageLine.parse(line))
}

import { DEFAULT_PROFILE, foldTitle } from '@longshore/contracts'

/**
 * Lua: keeps the index of tasks in step with their records (0027). A task stands in the index of its state and kind, of its agent and of all, and among the
 * titles; once it is over also among the ends. Members begin or end with a stamp, so that their order is that of time, and no two are equal.
 */
export const INDEX = `
local function stamp(t) return string.format('%013d', t.created_at) .. t.id end
-- '' stands for all agents. A record that cannot be read is found nowhere, and its end must not fail for that
local function facets(t)
  local ok, b = pcall(brief, t)
  if not ok or not t.created_at then return {} end
  return { '', b.agent_id }, b.mode .. ':' .. (b.profile or '${DEFAULT_PROFILE}')
end
local function reindex(t, from, to)
  local scopes, kind = facets(t)
  for _, scope in ipairs(scopes) do
    local head = P .. 'index:' .. scope .. ':'
    if from then redis.call('ZREM', head .. from .. ':' .. kind, stamp(t)) end
    redis.call('ZADD', head .. to .. ':' .. kind, 0, stamp(t))
  end
end
local function indexTitle(t, title)
  local _, kind = facets(t)
  if not kind then return end
  redis.call('ZADD', P .. 'titles', 0, title .. '\\0' .. stamp(t))
  redis.call('SADD', P .. 'kinds', kind)
end
local function indexEnd(t, at)
  if t.created_at then redis.call('ZADD', P .. 'ended', int(at), stamp(t)) end
end
`

/** Letters of a title that the index holds; longer beginnings are compared with the record. */
const INDEXED_LETTERS = 64
const TIME_DIGITS = 13
/** Time and id, all that a member ends with. */
const STAMP_LENGTH = TIME_DIGITS + 'task-'.length + 26

/** What of a title, or of the beginning of one, stands in the index. */
export function indexedTitle(text: string): string {
  return Array.from(foldTitle(text)).slice(0, INDEXED_LETTERS).join('')
}

/** The beginning of the stamps of a moment. */
export function timeOf(ms: number): string {
  return String(Math.max(0, Math.min(ms, 10 ** TIME_DIGITS - 1))).padStart(TIME_DIGITS, '0')
}

/** The stamp at the end of a member. */
export function stampIn(member: string): string {
  return member.slice(-STAMP_LENGTH)
}

export function idIn(stamp: string): string {
  return stamp.slice(TIME_DIGITS)
}

import { parseEvent, TaskId } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { FleetPage, Ledger } from './ledger.ts'
import { fieldsOf } from './record.ts'
import { readScript } from './script.ts'
import { OBSERVERS_CHANGED } from './watching.ts'

/**
 * ARGV: position, limit. Whether the position fits is asked in the same step as what follows it is read: nothing is trimmed unseen in between.
 * Events themselves stand in the logs of their tasks; one that was trimmed there is left as its number.
 */
const READ_FLEET = readScript(`
local key, after, limit = P .. 'fleet', ARGV[1], ARGV[2]
if after ~= '0' and #redis.call('XRANGE', key, after, after) == 0 then
  if redis.call('EXISTS', key) == 0 then return { 'reset' } end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' and info[i + 1] ~= after then return { 'reset' } end
  end
end
local found, bases = {}, {}
for _, entry in ipairs(redis.call('XRANGE', key, after == '0' and '-' or '(' .. after, '+', 'COUNT', limit)) do
  local id, seq = entry[2][2], entry[2][4]
  bases[id] = bases[id] or tonumber(redis.call('HGET', P .. 'task:' .. id, 'base') or '0')
  local at = seq - bases[id] - 1
  found[#found + 1] = { entry[1], id, seq, entry[2][6], at >= 0 and redis.call('LINDEX', P .. 'log:' .. id, string.format('%d', at)) or false }
end
return { 'events', found }
`)

type RawEntry = [position: string, taskId: string, seq: string, type: string, raw: string | null]
type RawPage = ['reset'] | ['events', RawEntry[]]

/** The log of the whole deployment, for consumers that follow everything. */
export function fleet({ redis, keys, run }: LedgerContext): Pick<Ledger, 'readFleetEvents' | 'fleetEnd'> {
  return {
    async readFleetEvents(after, limit): Promise<FleetPage> {
      const answer = (await run(READ_FLEET, after, limit)) as RawPage
      if (answer[0] === 'reset') return { kind: 'cursor_reset', earliest: '0' }
      const found = answer[1]
      // A change of observers is no event: it bears the number of one that was told already.
      const entries = found.filter(([, , , type]) => type !== OBSERVERS_CHANGED).map(entryOf)
      return { kind: 'events', entries, cursor: found.at(-1)?.[0] ?? after, isMore: found.length === limit }
    },
    async fleetEnd() {
      if ((await redis.exists(keys.fleet)) === 0) return '0'
      return fieldsOf(await redis.xinfo('STREAM', keys.fleet))?.['last-generated-id'] ?? '0'
    },
  }
}

function entryOf([position, taskId, seq, type, raw]: RawEntry): Extract<FleetPage, { kind: 'events' }>['entries'][number] {
  const entry = { position, taskId: TaskId.parse(taskId), seq: Number(seq), type }
  return raw === null ? entry : { ...entry, event: parseEvent(JSON.parse(raw)) }
}

import type { Redis } from 'ioredis'
import { z } from 'zod'

import type { QueueKeys } from './names.ts'
import type { TicketJob } from './ticket-line.ts'

/** So many of the next tickets are looked at: what was given back to its place may stand before a takeover. */
const NEAR = 8

// BullMQ gives out the head only, so a takeover near it is moved there. Looked for as text: in a title its quotes would be escaped.
const FIND_TAKEOVERS = `
local found = {}
for i, base in ipairs(ARGV) do
  local wait = base .. 'wait'
  local ids = redis.call('LRANGE', wait, -${NEAR}, -1)
  for at = #ids, 1, -1 do
    local job = redis.call('HMGET', base .. ids[at], 'data', 'stc')
    if (tonumber(job[2]) or 0) > 0 or (job[1] and string.find(job[1], '"takeover":true', 1, true)) then
      if at < #ids then
        redis.call('LREM', wait, -1, ids[at])
        redis.call('RPUSH', wait, ids[at])
      end
      found[#found + 1] = i - 1
      break
    end
  end
end
return found
`

/** Also of a ticket that only a later build understands. */
const Marked = z.object({ takeover: z.literal(true) })

/**
 * Whether what the job is about may be going on without an owner: its ticket says so, or the ticket's worker died. BullMQ counts that when it
 * puts the job back, at the head. One that died between the fetch and the take had begun nothing; that is taken for begun, too.
 */
export function isTakeover({ data, stalledCounter }: Pick<TicketJob, 'data' | 'stalledCounter'>): boolean {
  return stalledCounter > 0 || Marked.safeParse(data).success
}

/** Those of the lines whose next ticket is a takeover. Where none is, nothing is changed. */
export async function findTakeovers<L extends { worker: { name: string } }>(redis: Redis, keys: QueueKeys, lines: readonly L[]): Promise<L[]> {
  const found = (await redis.eval(FIND_TAKEOVERS, 1, keys.prefix, ...lines.map(({ worker }) => keys.of(worker.name, '')))) as number[]
  return found.map((index) => lines[index]).filter((line) => line !== undefined)
}

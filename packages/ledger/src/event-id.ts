import { randomFillSync } from 'node:crypto'
import { ulid } from 'ulid'

import type { EventId } from '@longshore/contracts'

const pool = Buffer.alloc(4_096)
let used = pool.length

/** The library draws each of its 16 random characters by a call of its own into the system; one draw serves 256 ids here. */
function random(): number {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  return (pool[used++] ?? 0) / 256
}

/** A fresh ULID. */
export function newEventId(): EventId {
  return ulid(undefined, random)
}

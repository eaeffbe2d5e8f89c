import { randomFillSync } from 'node:crypto'

import { type TaskId, taskIdFrom } from '@longshore/contracts'

const BYTES = 52
const pool = Buffer.alloc(BYTES * 64)
let used = pool.length

/** A fresh task id. One draw from the system serves 64 of them: a draw costs as much as making the id. */
export function newTaskId(): TaskId {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += BYTES
  return taskIdFrom(pool.subarray(used - BYTES, used))
}

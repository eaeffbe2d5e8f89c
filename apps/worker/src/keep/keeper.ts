import { lstat } from 'node:fs/promises'

import { type Storage, workspaceOf } from '@longshore/backends'
import { isOver, type Task, type TaskId } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'

import type { RedisClock } from '../redis-clock.ts'
import { keepTask, type KeepOptions } from './keep-task.ts'

export interface KeeperOptions extends KeepOptions {
  ledger: Pick<Ledger, 'keeps' | 'debts' | 'get' | 'saveKept' | 'lease' | 'release'>
  /** Of this worker. */
  name: string
  clock: RedisClock
  onKept(bytes: number): void
}

const BATCH = 1_000
/** What may still be running writes; when its place is away for longer, it is kept as it is. */
const DEBT_FIRST_MS = 60_000
/** Of a worker that died in the middle another goes on after so long. */
const LEASE_MS = 15_000
const RENEW_MS = 5_000
const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 10 * 60_000

/**
 * Keeps what ended tasks on this worker's storage leave (keep-task.ts): a debt that stands in the ledger since the very end, so that whoever is
 * interrupted, any worker of that storage does it again.
 * @returns a round; it resolves to the tasks that were kept
 */
export function createKeeper(options: KeeperOptions): (signal: AbortSignal) => Promise<TaskId[]> {
  const { ledger, clock, log } = options
  const troubles = new Map<TaskId, { pauseMs: number; nextAt: number }>()
  return async (signal) => {
    const kept: TaskId[] = []
    const waiting = new Set<TaskId>()
    // All of them: what is on a storage that is gone stands before the others for ever.
    for (let after = 0, isMore = true; isMore; after += BATCH) {
      const page = await ledger.keeps(after, BATCH)
      for (const id of page) waiting.add(id)
      isMore = page.length === BATCH
    }
    if (waiting.size === 0) return kept
    for (const id of troubles.keys()) if (!waiting.has(id)) troubles.delete(id)
    const debts = new Set(await ledger.debts(BATCH))
    for (const id of waiting) {
      if (signal.aborted) break
      if ((troubles.get(id)?.nextAt ?? 0) > clock.now()) continue
      try {
        const done = await keepOne(options, id, debts.has(id), signal)
        if (done === 'kept') kept.push(id)
        // What is over stays where it is.
        if (done === 'elsewhere') troubles.set(id, { pauseMs: LONGEST_PAUSE_MS, nextAt: clock.now() + LONGEST_PAUSE_MS })
      } catch (error) {
        const pauseMs = Math.min((troubles.get(id)?.pauseMs ?? FIRST_PAUSE_MS / 2) * 2, LONGEST_PAUSE_MS)
        if (!troubles.has(id)) log.warn({ task_id: id, reason: String(error) }, 'what a task left could not be kept; it is tried again, less and less often')
        troubles.set(id, { pauseMs, nextAt: clock.now() + pauseMs })
      }
    }
    return kept
  }
}

async function keepOne(options: KeeperOptions, id: TaskId, hasDebt: boolean, signal: AbortSignal): Promise<'kept' | 'later' | 'elsewhere'> {
  const { ledger, storage, clock, log, name } = options
  const task = await ledger.get(id)
  if (task === undefined) {
    await ledger.saveKept(id, undefined)
    return 'later'
  }
  if ((await storageOf(task, storage)) !== storage.id) return 'elsewhere'
  if (!isOver(task.state) || (hasDebt && clock.now() - (task.ended_at ?? 0) < DEBT_FIRST_MS)) return 'later'
  const what = `keep:${id}`
  if (!(await ledger.lease(what, name, LEASE_MS))) return 'later'
  const renewal = setInterval(() => void ledger.lease(what, name, LEASE_MS).catch(() => undefined), RENEW_MS)
  const began = performance.now()
  try {
    // Somebody may have kept it between our two looks.
    if ((await ledger.get(id))?.kept === undefined) {
      const done = await keepTask(options, task, signal)
      await ledger.saveKept(id, done)
      options.onKept(done.bytes)
      log.info({ task_id: id, bytes: done.bytes, duration_ms: Math.round(performance.now() - began) }, 'kept what a task left')
    } else await ledger.saveKept(id, undefined)
    return 'kept'
  } finally {
    clearInterval(renewal)
    await ledger.release(what, name).catch(() => undefined)
  }
}

/** Where its workspace is: where it ran last. Of what ended between two attempts without a word nothing says that; then it is where it is found. */
async function storageOf({ id, handle, output_parts: parts }: Task, storage: Storage): Promise<string | undefined> {
  const named = handle?.storage_id ?? parts?.at(-1)?.storage_id
  return named ?? lstat(workspaceOf(storage, id).directory).then(() => storage.id, () => undefined)
}

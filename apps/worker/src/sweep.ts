import { type Backend, type Found, type Handle, isOver, type Log, type Mode, type Task, toFailure } from '@longshore/contracts'
import { ClaimLost, type Identity, type Ledger } from '@longshore/ledger'

import { whyNotOurs } from './ledger-mark.ts'
import { within } from './within.ts'

export interface SweeperOptions {
  ledger: Pick<Ledger, 'get' | 'identity'>
  backends: readonly Backend[]
  /** Redis ms. */
  now: () => number
  /** Where this storage keeps the id of its ledger: see ledger-mark.ts. */
  markFile: string
  /** Only says what it would remove. */
  isDryRun: boolean
  onSwept: (mode: Mode, count: number) => void
  log: Log
}

/** Whoever ended a task is disposing of its execution right now. */
const OWNER_FIRST_MS = 15_000
const LIST_MS = 20_000
const DISPOSE_MS = 60_000

/**
 * Removes what this deployment left at its places and no task needs (G10): what a crash, a lost record or an engine that
 * was away left behind. Debts are paid elsewhere and sooner (collect-debts.ts); this finds what no handle names.
 * @returns a round
 */
export function createSweeper(options: SweeperOptions): (signal: AbortSignal) => Promise<void> {
  const { ledger, backends, markFile, log } = options
  const said = new Set<string>()
  const sayOnce = (fields: object, reason: string) => {
    if (!said.has(reason)) log.warn(fields, reason)
    said.add(reason)
  }
  return async (signal) => {
    const identity = await ledger.identity()
    const reason = await whyNotOurs(markFile, identity)
    if (reason !== undefined) {
      sayOnce({}, `nothing is swept: ${reason}`)
      return
    }
    for (const backend of backends) {
      if (signal.aborted) return
      // Its probe says why it does not answer; the next round asks again.
      const found = await within(LIST_MS, backend.list(), 'listing').catch((error: unknown) => {
        log.debug({ mode: backend.mode, reason: toFailure(error).message }, 'leftovers cannot be looked for')
        return []
      })
      const older = found.filter((one) => isOlder(one, identity))
      if (older.length > 0) sayOnce({ mode: backend.mode, count: older.length }, 'executions that are older than this ledger are left alone')
      await sweepMode(options, backend, found, identity, signal)
    }
  }
}

async function sweepMode(options: SweeperOptions, backend: Backend, found: readonly Found[], identity: Identity, signal: AbortSignal): Promise<void> {
  const { isDryRun, log, onSwept } = options
  const { mode } = backend
  let [orphans, removed] = [0, 0]
  for (const one of found) {
    if (signal.aborted || !(await isOrphanNow(options, one, identity))) continue
    orphans += 1
    if (isDryRun) log.info({ mode, task_id: one.taskId }, 'would sweep what is left of a task')
    else if (await remove(options, backend, one, identity)) removed += 1
  }
  if (orphans === 0) return
  onSwept(mode, removed)
  log.info({ mode, looked_at: found.length, orphans, removed, dry_run: isDryRun }, 'swept')
}

async function remove(options: SweeperOptions, backend: Backend, one: Found, identity: Identity): Promise<boolean> {
  const { log } = options
  const confirmClaim = async () => {
    if (!(await isOrphanNow(options, one, identity))) throw new ClaimLost(`${one.taskId} is no orphan any more`)
  }
  try {
    await within(DISPOSE_MS, backend.dispose(one.handle, { log, confirmClaim }), 'sweeping')
    return true
  } catch (error) {
    log.warn({ mode: backend.mode, task_id: one.taskId, reason: toFailure(error).message }, 'what is left of a task could not be swept; trying again later')
    return false
  }
}

async function isOrphanNow({ ledger, now }: SweeperOptions, one: Found, identity: Identity): Promise<boolean> {
  if (isOlder(one, identity)) return false
  // A record that cannot be read may be a newer worker's: whatever belongs to it is not ours to judge.
  const task = await ledger.get(one.taskId).catch(() => 'unreadable' as const)
  return task !== 'unreadable' && isOrphan(one, task, now())
}

/**
 * Whether no task needs what was found: its task is unknown here, is over and not just being ended, or lives on another engine
 * by now, where two agents would be at work in one workspace. An earlier claim of a task that lives here may be its own.
 */
export function isOrphan(found: Pick<Found, 'handle'>, task: Pick<Task, 'state' | 'ended_at' | 'handle'> | undefined, now: number): boolean {
  if (task === undefined) return true
  if (isOver(task.state)) return now - (task.ended_at ?? now) > OWNER_FIRST_MS
  const [here, there] = [found.handle.engine_id, task.handle?.engine_id]
  return here !== undefined && there !== undefined && here !== there && !isNamedBy(found.handle, task.handle)
}

/** An engine may come to have another name (its host's, its address) while the execution is the very same. */
function isNamedBy(found: Handle, handle: Handle | undefined): boolean {
  return Object.entries(found.data).every(([name, value]) => handle?.data[name] === value)
}

/** What was made before this ledger belongs to tasks that another one knew. */
export function isOlder(found: Pick<Found, 'createdAt'>, identity: Pick<Identity, 'createdAt'>): boolean {
  return found.createdAt < identity.createdAt
}

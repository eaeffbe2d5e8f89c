import { editionOfConversation, KEPT_BLOBS, keptPrefix, parseSentKey } from '@longshore/blobs'
import { type BlobKey, type BlobStore, type GoneReason, isOver, type Log, TaskId } from '@longshore/contracts'
import type { KeptTask, Ledger } from '@longshore/ledger'

import { collectArchives } from './collect-archives.ts'
import { type Collect, type KeepLimits, whatToCollect } from './what-to-collect.ts'

export interface CollectBlobsOptions {
  ledger: Pick<Ledger, 'keptTasks' | 'saveGone' | 'forgetKept' | 'archivedTasks' | 'saveArchiveGone' | 'forgetArchived' | 'get' | 'isPoisoned' | 'identity' | 'lease'>
  store: BlobStore
  limits: KeepLimits
  /** Only says what it would remove. */
  isDryRun: boolean
  /** Of this worker; one at a time in the whole deployment collects. */
  name: string
  /** Redis ms. */
  now: () => number
  onCollected(why: GoneReason | 'archive' | 'nameless' | 'sent' | 'half-written', count: number): void
  log: Log
}

const PAGE = 500
/** A round that takes longer is gone on with by whoever comes next; two at once do no harm. */
const LEASE_MS = 60_000
/** Whatever is being kept now is kept or given up long before. */
const NAMELESS_MS = 24 * 60 * 60_000
const OURS: ReadonlySet<string> = new Set([...KEPT_BLOBS, 'manifest'])

/**
 * Removes what of ended tasks is kept beyond its time or beyond what may be kept. Readers are told first: cut short anywhere, the next round goes on, and
 * nobody ever sees a half. Then what no record names: editions that were never finished,
 * and files that were sent along with tasks that are over or were never accepted.
 * @returns a round
 */
export function createBlobCollector(options: CollectBlobsOptions): (signal: AbortSignal) => Promise<void> {
  const { ledger, store, limits, isDryRun, name, now, log, onCollected } = options
  return async (signal) => {
    if (!(await ledger.lease('collect-blobs', name, LEASE_MS))) return
    const kept = await allKept(ledger)
    const collect = whatToCollect(kept, limits, now())
    for (const one of collect) {
      if (signal.aborted) return
      if (isDryRun) log.info({ task_id: one.id, why: one.why, bytes: one.bytes }, 'would remove what is kept of a task')
      else await remove(options, one)
    }
    if (collect.length > 0) log.info({ tasks: collect.length, bytes: collect.reduce((sum, { bytes }) => sum + bytes, 0), of: kept.length, dry_run: isDryRun }, 'collected what was kept')
    await collectArchives(options, signal)
    const { nameless, sent } = await collectNameless(options, signal)
    if (isDryRun) return
    const halves = await store.tidy(Date.now())
    if (nameless > 0) onCollected('nameless', nameless)
    if (sent > 0) onCollected('sent', sent)
    if (halves > 0) onCollected('half-written', halves)
    if (nameless + sent + halves > 0) log.info({ nameless, sent, half_written: halves }, 'removed blobs that nothing names')
  }
}

async function allKept(ledger: CollectBlobsOptions['ledger']): Promise<KeptTask[]> {
  const all: KeptTask[] = []
  for (let page = await ledger.keptTasks(0, PAGE); page.length > 0; page = await ledger.keptTasks(all.length, PAGE)) all.push(...page)
  return all
}

async function remove({ ledger, store, onCollected }: CollectBlobsOptions, { id, why }: Collect): Promise<void> {
  await ledger.saveGone(id, why)
  for await (const { key } of store.list(keptPrefix(id))) if (isOurs(key)) await store.delete(key)
  await ledger.forgetKept(id)
  onCollected(why, 1)
}

/** What a keeping left that was cut short, or that another overtook, and what no task needs for its start any more. */
async function collectNameless({ ledger, store, isDryRun, log }: CollectBlobsOptions, signal: AbortSignal): Promise<{ nameless: number; sent: number }> {
  const found = { nameless: 0, sent: 0 }
  const { id: ledgerId } = await ledger.identity()
  for await (const { key, storedAt } of store.list()) {
    if (signal.aborted) return found
    const isOld = Date.now() - storedAt >= NAMELESS_MS
    const what = isOurs(key) || editionOfConversation(key) !== undefined ? 'nameless' : 'sent'
    if (!(what === 'nameless' ? isOld && await isNameless(ledger, key) : await isSpent(ledger, key, { ledgerId, isOld }))) continue
    found[what] += 1
    if (isDryRun) log.info({ key }, 'would remove a blob that nothing names')
    else await store.delete(key)
  }
  return found
}

/** Of tasks that this ledger does not know nothing is touched (G10). */
async function isNameless(ledger: CollectBlobsOptions['ledger'], key: BlobKey): Promise<boolean> {
  const [id, edition] = key.split('.')
  const taskId = TaskId.safeParse(id).data
  const task = taskId === undefined ? undefined : await ledger.get(taskId).catch(() => undefined)
  const named = editionOfConversation(key) === undefined ? task?.kept : task?.archived
  return task !== undefined && (named?.edition !== edition || named?.gone !== undefined)
}

/**
 * Files that were sent along, of a task that is over, or that this ledger did not accept in all that time: it is this ledger that they were put there for (G10). Those of a poisoned task wait for its
 * replay, those of a record that cannot be read for whoever can.
 */
async function isSpent(ledger: CollectBlobsOptions['ledger'], key: BlobKey, { ledgerId, isOld }: { ledgerId: string; isOld: boolean }): Promise<boolean> {
  const sent = parseSentKey(key)
  if (sent?.ledgerId !== ledgerId) return false
  try {
    const task = await ledger.get(sent.taskId)
    return task === undefined ? isOld : (isOver(task.state) && !(await ledger.isPoisoned(task.id)))
  } catch {
    return false
  }
}

/** Files that were sent along with a task have other names, and whatever else others keep. */
function isOurs(key: BlobKey): boolean {
  const words = key.split('.')
  return words.length === 3 && OURS.has(words[2] ?? '')
}

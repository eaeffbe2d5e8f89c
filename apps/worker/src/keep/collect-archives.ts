import { editionOfConversation, keptPrefix } from '@longshore/blobs'
import type { ArchivedTask } from '@longshore/ledger'

import type { CollectBlobsOptions } from './collect-blobs.ts'
import { archivesToCollect } from './what-to-collect.ts'

const PAGE = 500

/** Removes archived conversations beyond their time or beyond what may be kept of them. Readers are told first. */
export async function collectArchives({ ledger, store, limits, isDryRun, now, log, onCollected }: CollectBlobsOptions, signal: AbortSignal): Promise<void> {
  for (const { id, why, bytes } of archivesToCollect(await allArchived(ledger), limits, now())) {
    if (signal.aborted) return
    log.info({ task_id: id, why, bytes, dry_run: isDryRun }, isDryRun ? 'would remove an archived conversation' : 'removes an archived conversation')
    if (isDryRun) continue
    await ledger.saveArchiveGone(id, why)
    for await (const { key } of store.list(keptPrefix(id))) if (editionOfConversation(key) !== undefined) await store.delete(key)
    await ledger.forgetArchived(id)
    onCollected('archive', 1)
  }
}

async function allArchived(ledger: CollectBlobsOptions['ledger']): Promise<ArchivedTask[]> {
  const all: ArchivedTask[] = []
  for (let page = await ledger.archivedTasks(0, PAGE); page.length > 0; page = await ledger.archivedTasks(all.length, PAGE)) all.push(...page)
  return all
}

import type { BlobStore, Log } from '@longshore/contracts'

import type { Readiness } from './readiness.ts'

/** Adds how the blob store stands. Tasks run without it, so it keeps nobody from being ready: files of ended tasks wait on their storage meanwhile. */
export async function withBlobs(readiness: Readiness, store: Pick<BlobStore, 'probe'>): Promise<Readiness> {
  const found = await store.probe()
  return { ...readiness, checks: [...readiness.checks, { name: 'blobs', ok: found.ok, detail: found.ok ? 'writable' : found.reason }] }
}

/** Once, in the log. */
export async function sayIfUnusable(store: Pick<BlobStore, 'probe'>, log: Log): Promise<void> {
  const found = await store.probe()
  if (!found.ok) log.error({ reason: found.reason }, 'the blob store cannot be used: nothing of ended tasks can be kept or read there until it can')
}

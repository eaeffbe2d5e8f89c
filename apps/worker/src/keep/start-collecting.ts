import type { Storage } from '@longshore/backends'
import type { BlobStore, Log } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import { keepRounds, type Rounds } from '@longshore/runtime'

import type { WorkerMetrics } from '../worker-metrics.ts'
import { createBlobCollector } from './collect-blobs.ts'
import { createWorkspaceRemover } from './remove-workspaces.ts'
import { createLogTrimmer, type LogLimits } from './trim-logs.ts'
import type { KeepLimits } from './what-to-collect.ts'

/** Whether and how what is kept for too long is removed. */
export interface CollectSettings { everyMs: number; isDryRun: boolean; markFile: string; limits: KeepLimits; workspaceRetentionMs: number; namedRetentionMs: number; logs: LogLimits }

export interface CollectDeps { ledger: Ledger; storage: Storage; store: BlobStore; name: string; log: Log; now: () => number; metrics: WorkerMetrics }

/** The collector of the blob store and that of the storage, one at a time in the deployment and per storage. */
export function startCollecting({ everyMs, isDryRun, markFile, limits, workspaceRetentionMs, namedRetentionMs, logs }: CollectSettings, { metrics, ...deps }: CollectDeps): Rounds[] {
  const collected = (why: string, count: number) => metrics.collected.inc({ why }, count)
  const blobs = createBlobCollector({ ...deps, limits, isDryRun, onCollected: collected })
  const workspaces = createWorkspaceRemover({ ...deps, retentionMs: workspaceRetentionMs, namedRetentionMs, isDryRun, markFile, onRemoved: (count) => collected('workspace', count) })
  const trimmer = createLogTrimmer({ ...deps, limits: logs, isDryRun, onTrimmed: (count) => collected('log', count) })
  return [
    keepRounds({ everyMs, round: trimmer, log: deps.log, failing: 'the logs of ended tasks could not be trimmed' }),
    keepRounds({ everyMs, round: blobs, log: deps.log, failing: 'what is kept for too long could not be removed' }),
    keepRounds({ everyMs, round: workspaces, log: deps.log, failing: 'workspaces of ended tasks could not be removed' }),
  ]
}

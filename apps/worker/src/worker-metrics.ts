import type { Mode } from '@longshore/contracts'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What a worker counts. */
export interface WorkerMetrics {
  running: Gauge<'mode'>
  ended: Counter<'state' | 'mode'>
  attemptSeconds: Histogram<'outcome' | 'mode'>
  claimLost: Counter
  swept: Counter<'mode'>
  kept: Counter
  keptBytes: Counter
  collected: Counter<'why'>
}

export function createWorkerMetrics(registry: Registry): WorkerMetrics {
  const registers = [registry]
  return {
    running: new Gauge({ name: 'longshore_tasks_running', help: 'Tasks that this worker runs now.', labelNames: ['mode'], registers }),
    ended: new Counter({ name: 'longshore_tasks_ended_total', help: 'Tasks that this worker brought to their end, by state.', labelNames: ['state', 'mode'], registers }),
    attemptSeconds: new Histogram({
      name: 'longshore_attempt_duration_seconds', help: 'From taking a task to its end, retry, handover or loss.',
      labelNames: ['outcome', 'mode'], buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400], registers,
    }),
    claimLost: new Counter({ name: 'longshore_claim_lost_total', help: 'Tasks that this worker let go because another may own them.', registers }),
    swept: new Counter({ name: 'longshore_swept_total', help: 'Leftovers of ended and unknown tasks that this worker found and removed.', labelNames: ['mode'], registers }),
    kept: new Counter({ name: 'longshore_tasks_kept_total', help: 'Ended tasks whose output, diff and files this worker put into the blob store.', registers }),
    keptBytes: new Counter({ name: 'longshore_kept_bytes_total', help: 'How many bytes that were.', registers }),
    collected: new Counter({ name: 'longshore_collected_total', help: 'Tasks of which this worker removed what was kept, by reason, and workspaces, half-written and nameless blobs, files that were sent along (sent), archived conversations (archive), and logs that it trimmed (log).', labelNames: ['why'], registers }),
  }
}

/** The breaker of each mode as a figure, read when somebody asks for it. */
export function watchBreakers(registry: Registry, { modes, isOnTrial }: { modes: readonly Mode[]; isOnTrial(mode: Mode): boolean }): void {
  const gauge: Gauge<'mode'> = new Gauge({
    name: 'longshore_breaker_open', help: '1 while a mode of this worker takes no tasks, or one at a time, because its place failed them.', labelNames: ['mode'], registers: [registry],
    collect: () => modes.forEach((mode) => gauge.set({ mode }, isOnTrial(mode) ? 1 : 0)),
  })
}

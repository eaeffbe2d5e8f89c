import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What a worker counts. */
export interface WorkerMetrics {
  running: Gauge<'mode'>
  ended: Counter<'state' | 'mode'>
  attemptSeconds: Histogram<'outcome' | 'mode'>
  claimLost: Counter
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
  }
}

import { setTimeout as sleep } from 'node:timers/promises'

import type { Task } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Figures of the process are wanted most while Redis hangs (ms). */
const COUNTS_WITHIN_MS = 1_000

export interface GatewayMetrics {
  /** Counts one call. */
  count(operation: string, code: string): void
  /** The same `submit`, measured: what the ledger takes to accept a task, without a sync call's wait. */
  timeSubmit(submit: Ledger['submit']): Ledger['submit']
}

/**
 * The gateway's figures in its registry.
 * @param counts read at each scrape; when it fails, the scrape goes without it
 */
export function createGatewayMetrics(registry: Registry, counts: () => Promise<Record<Task['state'], number>>): GatewayMetrics {
  const registers = [registry]
  const requests = new Counter({ name: 'longshore_api_requests_total', help: 'Calls of operations by answer', labelNames: ['operation', 'code'], registers })
  const submits = new Histogram({
    name: 'longshore_submit_duration_seconds', help: 'Time of accepting a task in the ledger', registers,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
  })
  const tasks = new Gauge({
    name: 'longshore_tasks', help: 'Tasks by state', labelNames: ['state'], registers,
    async collect() {
      const states = await Promise.race([counts().catch(() => undefined), sleep(COUNTS_WITHIN_MS, undefined, { ref: false })])
      if (states === undefined) return this.reset()
      for (const [state, count] of Object.entries(states)) this.set({ state }, count)
    },
  })
  tasks.reset()
  return {
    count: (operation, code) => requests.inc({ operation, code }),
    timeSubmit: (submit) => async (...task) => {
      const end = submits.startTimer()
      const submitted = await submit(...task)
      end()
      return submitted
    },
  }
}

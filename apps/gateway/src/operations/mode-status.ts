import { Isolation, ISOLATIONS, Mode, MODES } from '@longshore/contracts'
import type { Heartbeat } from '@longshore/queue'
import { z } from 'zod'

/** How a mode stands, from the heartbeats of the workers that serve it. */
export const ModeStatus = z.object({
  mode: Mode,
  available: z.boolean().describe('Whether a worker takes tasks of this mode now.'),
  isolation: Isolation.describe('How far the place of a task separates it from its host and from other tasks: the least that any of the workers gives.'),
  workers: z.int().describe('Workers that take tasks of this mode now.'),
  slots: z.int().describe('Tasks that these workers run at once, over all their modes.'),
  profiles: z.array(z.string()).optional().describe('Which agents can be asked for there (profile): those of all workers that take tasks.'),
  reason: z.string().optional().describe('Why the mode is not available, and what to do.'),
})
export type ModeStatus = z.infer<typeof ModeStatus>

/** One line per mode that a live worker names. */
export function modeStatuses(workers: readonly Heartbeat[]): ModeStatus[] {
  return MODES.flatMap((mode) => {
    const reports = workers.flatMap((worker) => worker.modes.filter((report) => report.mode === mode).map((report) => ({ report, worker })))
    if (reports.length === 0) return []
    const taking = reports.filter(({ report, worker }) => report.ok && !worker.draining)
    const least = Math.max(...(taking.length > 0 ? taking : reports).map(({ report }) => ISOLATIONS.indexOf(report.isolation)))
    const reason = taking.length > 0 ? undefined : reports.find(({ report }) => !report.ok)?.report.reason ?? 'every worker of this mode is being stopped'
    const profiles = [...new Set(taking.flatMap(({ report }) => (report.profiles ?? []).map(({ name }) => name)))]
    return [{
      mode, available: taking.length > 0, isolation: ISOLATIONS[least] ?? 'shared', workers: taking.length,
      slots: taking.reduce((sum, { worker }) => sum + worker.slots, 0), ...(profiles.length === 0 ? {} : { profiles }), ...(reason === undefined ? {} : { reason }),
    }]
  })
}

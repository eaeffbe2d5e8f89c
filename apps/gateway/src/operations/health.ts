import { z } from 'zod'
import { ModeStatus } from './mode-status.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { Timestamp, toTimestamp } from './parameters.ts'

const Output = z.object({
  status: z.enum(['healthy', 'degraded']).describe('degraded: tasks are accepted, and no worker is there to run them.'),
  timestamp: Timestamp,
  version: z.string(),
  metrics: z.object({
    active_tasks: z.int().describe('Tasks that run.'),
    queued_tasks: z.int().describe('Tasks that wait for a worker.'),
    can_accept_task: z.boolean().describe('False while Redis has no memory for new tasks: they are refused as overloaded.'),
  }),
  modes: z.array(ModeStatus).describe('Modes that live workers serve, with the isolation that each gives.'),
})

/** What works, as the ledger and the workers' heartbeats tell. */
export function health(ports: Ports): Operation {
  return defineOperation({
    name: 'health',
    title: 'Health',
    description: 'Version, running and waiting tasks, and which modes are served with which isolation.',
    input: z.strictObject({}),
    output: Output,
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/health' },
    isTool: true,
    async handle() {
      const [counts, modes, hasRoom] = await Promise.all([ports.ledger.counts(), ports.modes(), ports.ledger.hasRoom()])
      return {
        status: modes.some((mode) => mode.available) ? 'healthy' as const : 'degraded' as const,
        timestamp: toTimestamp(ports.now()),
        version: ports.version,
        metrics: { active_tasks: counts.running, queued_tasks: counts.queued, can_accept_task: hasRoom },
        modes,
      }
    },
  })
}

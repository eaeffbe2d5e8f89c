import { Isolation, LongshoreError, Mode } from '@longshore/contracts'
import type { Heartbeat } from '@longshore/queue'
import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { Timestamp, toTimestamp } from './parameters.ts'

const ModeView = z.object({
  mode: Mode,
  available: z.boolean().describe('Whether the mode takes tasks on this worker.'),
  reason: z.string().optional().describe('Why it does not: what does not answer, or a circuit breaker that waits before the next try.'),
  isolation: Isolation,
  engine_id: z.string().optional().describe('The engine, host or server that holds what this mode runs. Tasks go back to a worker that reaches theirs.'),
})

/** A worker as its last heartbeat, at most some seconds old, describes it. */
const WorkerView = z.object({
  name: z.string(),
  host: z.string(),
  version: z.string(),
  started_at: Timestamp,
  slots: z.int().describe('Tasks that it runs at once; takeovers may exceed it.'),
  running: z.int(),
  draining: z.boolean().describe('It takes no task: it was told to drain or to stop.'),
  storage_id: z.string().optional().describe('The disk of its workspaces. Tasks are resumed within one storage.'),
  modes: z.array(ModeView),
})

function viewWorker({ name, host, version, started_at, slots, running, draining, storage_id, modes }: Heartbeat): z.output<typeof WorkerView> {
  return {
    name, host, version, started_at: toTimestamp(started_at), slots, running, draining,
    ...(storage_id === undefined ? {} : { storage_id }),
    modes: modes.map(({ mode, ok, reason, isolation, engine_id }) => ({
      mode, available: ok && !draining, isolation,
      ...(reason === undefined ? {} : { reason }), ...(engine_id === undefined ? {} : { engine_id }),
    })),
  }
}

export function listWorkers(ports: Ports): Operation {
  return defineOperation({
    name: 'list_workers',
    title: 'List workers',
    description: 'The workers that are alive: what they run, which modes they take, and why not.',
    input: z.strictObject({}),
    output: z.object({ workers: z.array(WorkerView).describe('By name. One that is silent for 15 s is left out.') }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'GET', path: '/api/workers' },
    isTool: true,
    handle: async () => ({ workers: (await ports.workers()).map(viewWorker) }),
  })
}

/** A wish, which the worker sees at its next heartbeat; repeating it is harmless (G12). */
export function drainWorker(ports: Ports): Operation {
  return defineOperation({
    name: 'drain_worker',
    title: 'Drain a worker',
    description: 'Lets a worker take no more tasks and hand over what it runs; the process stays up. With undo=true it takes tasks again.',
    input: z.strictObject({
      name: z.string().min(1).max(80).describe('The worker, as list_workers names it.'),
      undo: z.boolean().default(false).describe('Take the wish back.'),
    }),
    output: z.object({
      name: z.string(),
      draining: z.boolean().describe('As its last heartbeat says: a wish is obeyed within seconds.'),
      running: z.int().describe('Tasks that it still holds.'),
      message: z.string(),
    }),
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'POST', path: '/api/workers/{name}/drain' },
    isTool: true,
    async handle({ name, undo }) {
      const done = await (undo ? ports.drains.undo(name) : ports.drains.request(name))
      const workers = await ports.workers()
      const worker = workers.find((one) => one.name === name)
      // A request also waits for a worker that died and comes back under its name: it can be taken back meanwhile.
      if (worker === undefined && !(undo && done)) throw unknownWorker(name, workers)
      return { name, draining: worker?.draining ?? false, running: worker?.running ?? 0, message: undo ? (done ? UNDONE : NOT_ASKED) : DRAINS }
    },
  })
}

const DRAINS = 'It takes no more tasks. What it runs may end within DRAIN_GRACE_MS; then it goes to other workers, or waits with its session and workspace kept.'
const UNDONE = 'It takes tasks again within seconds, unless the process itself was told to stop.'
const NOT_ASKED = 'Nobody had asked it to drain: nothing changed.'

function unknownWorker(name: string, known: readonly Heartbeat[]): LongshoreError {
  const names = known.map((worker) => worker.name)
  return new LongshoreError('invalid_input', `name: no worker ${JSON.stringify(name)} is alive`, {
    field: 'name', next: names.length === 0 ? 'No worker is alive at all.' : `Alive: ${names.join(', ')}.`,
  })
}

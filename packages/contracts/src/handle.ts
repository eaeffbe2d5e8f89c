import { z } from 'zod'
import { Mode } from './mode.ts'

/**
 * The serialisable address of a running execution. The ledger stores it before the execution starts (decision 6);
 * only the backend of that mode reads `data`. No secret may stand in it.
 */
export const Handle = z.object({
  v: z.literal(1),
  mode: Mode,
  /** Which storage holds the workspace: a task resumes only within it. */
  storage_id: z.string().optional(),
  /** Which engine or host holds the execution: it goes back to a worker that reaches that one. */
  engine_id: z.string().optional(),
  /** Its owner ended the execution on purpose and kept the session: there is nothing to attach to, `resume` goes on (G12). */
  checkpoint: z.literal(true).optional(),
  /** With `checkpoint`: somebody had asked for a pause, and the agent is told so when it goes on. */
  paused: z.literal(true).optional(),
  /** Its attempt is over, and something of it may be left: whoever takes the task next ends that before another is started. */
  discard: z.literal(true).optional(),
  data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
})
export type Handle = z.infer<typeof Handle>

import { type AnyEvent, START, type TaskId } from '@longshore/contracts'

import type { Ledger } from './ledger.ts'

/** The events after the first `seq` of a task, for who looks at a place and does not read on; where that was trimmed, the earliest that are kept. */
export async function readFrom(ledger: Pick<Ledger, 'read'>, taskId: TaskId, seq: number, limit: number): Promise<AnyEvent[]> {
  const page = await ledger.read(taskId, { seq: Math.max(seq, 0), id: '' }, limit)
  const kept = page?.kind === 'cursor_reset' ? await ledger.read(taskId, START, limit) : page
  return kept?.kind === 'events' ? kept.events : []
}

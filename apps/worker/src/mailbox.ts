import { type Mail, TaskFailure } from '@longshore/contracts'
import { ClaimLost } from '@longshore/ledger'

import type { Run } from './run.ts'

/** Brings an agent what people and other agents left for it. */
export interface Mailbox {
  /** Everything that waits, in order; what cannot be brought now stays for the next call. Never rejects. */
  deliver(): Promise<void>
}

/** Calls while one is under way wait for that one: whatever it did not see rings the bell again. */
export function openMailbox(run: Run): Mailbox {
  let delivering: Promise<void> | undefined
  let noted = ''
  const note = (error: unknown): void => {
    if (run.context.signal.aborted || error instanceof ClaimLost) return
    const reason = error instanceof TaskFailure ? error.message : String(error)
    // Tried again every second, said once.
    if (reason !== noted) run.log.warn({ reason }, 'a message did not reach the agent; tried again')
    noted = reason
  }
  return { deliver: () => (delivering ??= bringAll(run).catch(note).finally(() => (delivering = undefined))) }
}

/** First the agent, then the log: a death in between brings the same message again, which takes effect once (`tell`). */
async function bringAll(run: Run): Promise<void> {
  const { ledger } = run.deps
  if (run.execution?.tell === undefined) return
  for (const mail of await ledger.mail(run.task.id)) {
    if (run.context.signal.aborted) return
    const { message_id: id } = mail
    if ((await run.execution.tell({ id, text: textOf(mail) })) === 'over') return
    await ledger.delivered(run.claim, id)
    run.log.info({ message_id: id }, 'the agent has a message')
  }
}

/** What the agent reads. Who wrote it stands first: a message is no more trusted than its sender. */
export function textOf({ by, message_type, text, metadata }: Mail): string {
  const heading = `A message about your task, sent while you work (${message_type.replaceAll('_', ' ')}, from ${by}):`
  return [heading, text, ...(metadata === undefined ? [] : [`metadata: ${JSON.stringify(metadata)}`])].join('\n\n')
}

import { BlobKey, TaskId } from '@longshore/contracts'

const SENT = 'sent'

/**
 * Where the files lie that were sent along with a task. They are put there before the task is accepted, so a ledger that does not know the task cannot
 * tell whose they are: therefore its id stands in the key (G10).
 */
export function sentKey(taskId: TaskId, ledgerId: string): BlobKey {
  return BlobKey.parse(`${taskId}.${SENT}.${ledgerId}`)
}

/** Whose files those are; undefined: it is another blob. */
export function parseSentKey(key: BlobKey): { taskId: TaskId; ledgerId: string } | undefined {
  const [id, what, ledgerId, ...more] = key.split('.')
  const taskId = TaskId.safeParse(id).data
  return taskId === undefined || what !== SENT || ledgerId === undefined || more.length > 0 ? undefined : { taskId, ledgerId }
}

import { BlobKey, type TaskId } from '@longshore/contracts'

const CONVERSATION = 'conversation'

/** Where the archived conversation of a task lies. It is no part of what is kept of the task: it may stay for longer, and goes by itself. */
export function conversationKey(taskId: TaskId, edition: string): BlobKey {
  return BlobKey.parse(`${taskId}.${edition}.${CONVERSATION}`)
}

/** undefined: it is another blob. */
export function editionOfConversation(key: BlobKey): string | undefined {
  const [, edition, what, ...more] = key.split('.')
  return what === CONVERSATION && more.length === 0 ? edition : undefined
}

import { randomBytes } from 'node:crypto'

import { conversationKey } from '@longshore/blobs'
import { type Archived, BlobFault, type BlobStore, type Log, LongshoreError, type TaskId } from '@longshore/contracts'

/** Documents of conversations in the blob store. @throws LongshoreError unavailable */
export interface ConversationsPort {
  put(taskId: TaskId, content: AsyncIterable<Uint8Array>): Promise<Pick<Archived, 'edition' | 'bytes'>>
  get(taskId: TaskId, edition: string): Promise<AsyncIterable<Uint8Array>>
  /** Another stands in its place. Never throws: what stays is collected. */
  drop(taskId: TaskId, edition: string): Promise<void>
}

export function createConversations(store: BlobStore, log: Log): ConversationsPort {
  return {
    async put(taskId, content) {
      const edition = `a${randomBytes(8).toString('hex')}`
      const { bytes } = await store.put(conversationKey(taskId, edition), content).catch(refuse)
      return { edition, bytes }
    },
    async get(taskId, edition) {
      const found = await store.get(conversationKey(taskId, edition)).catch(refuse)
      return found?.content ?? refuse(new BlobFault('unavailable', 'the blob store does not have the document: gateways and workers must share BLOBS_DIR'))
    },
    drop: async (taskId, edition) => void (await store.delete(conversationKey(taskId, edition)).catch((error: unknown) => log.info({ task_id: taskId, reason: String(error) }, 'a document that nothing names stays until it is collected'))),
  }
}

function refuse(error: unknown): never {
  if (!(error instanceof BlobFault)) throw error
  throw new LongshoreError('unavailable', `the archive does not work now: ${error.message}`, { next: 'Try again in some seconds; if it stays, tell the operator: /ready says how the blob store stands.', cause: error })
}

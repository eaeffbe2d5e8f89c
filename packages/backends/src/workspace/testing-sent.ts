import { createHash } from 'node:crypto'
import { type BlobStore, FilesToSend, packSent, type SentFiles } from '@longshore/contracts'

/** A store that holds the files of one task, and what the task's record says of them. */
export function storeWith(files: readonly { path: string; content: string }[]): { sent: SentFiles; blobs: Pick<BlobStore, 'get'> } {
  const { packed, count, bytes } = packSent(FilesToSend.parse(files))
  const sha256 = createHash('sha256').update(packed).digest('hex')
  const content = async function* () { yield packed }
  return { sent: { key: 'task-1.sent.l', count, bytes, sha256 }, blobs: { get: async (key) => ({ info: { key, bytes: packed.length, sha256, storedAt: 0 }, content: content() }) } }
}

import { BlobFault, type BlobStore, MAX_PACKED_BYTES, type SentFiles, TaskFailure, type UnpackedFile, unpackSent } from '@longshore/contracts'

const SHARED = 'gateways and workers share one folder (BLOBS_DIR)'

/**
 * The files that were sent along with a task, as its record names them.
 * @throws TaskFailure `workspace` when they are gone or damaged, `storage_unavailable` when the store does not answer
 */
export async function fetchFiles(store: Pick<BlobStore, 'get'> | undefined, { key, sha256 }: SentFiles): Promise<UnpackedFile[]> {
  if (store === undefined) throw new TaskFailure('workspace', 'this worker has no blob store, where files that were sent along are (BLOBS_DIR)')
  try {
    const found = await store.get(key)
    if (found === undefined) throw new TaskFailure('workspace', `the files that were sent along are not in the blob store of this worker: ${SHARED}`)
    if (found.info.sha256 !== sha256 || found.info.bytes > MAX_PACKED_BYTES) throw new TaskFailure('workspace', `the files that were sent along are not what was sent: something wrote over ${key} in the blob store (BLOBS_DIR)`)
    const pieces: Uint8Array[] = []
    for await (const piece of found.content) pieces.push(piece)
    return unpackSent(Buffer.concat(pieces))
  } catch (error) {
    if (error instanceof TaskFailure) throw error
    if (error instanceof BlobFault && error.code === 'unavailable') throw new TaskFailure('storage_unavailable', `the files that were sent along cannot be read from the blob store (BLOBS_DIR): ${error.message}`, { cause: error })
    throw new TaskFailure('workspace', `the files that were sent along cannot be read from the blob store (BLOBS_DIR): ${String(error)}`, { cause: error })
  }
}

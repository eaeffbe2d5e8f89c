import { sentKey } from '@longshore/blobs'
import { BlobFault, type BlobStore, type FilesToSend, type ListedFile, listSent, type Log, LongshoreError, MAX_LISTING_BYTES, MAX_PACKED_BYTES, type NewTask, packSent, type SentFiles, type TaskId } from '@longshore/contracts'
import type { Ledger, SubmitLimits } from '@longshore/ledger'

/** Files that are sent along with tasks: they wait in the blob store until a worker makes the task's workspace. */
export interface SentFilesPort {
  /** Before the task is submitted: what is accepted has its files (G1). @throws LongshoreError unavailable */
  put(taskId: TaskId, files: FilesToSend): Promise<SentFiles>
  /** Those of an earlier task once more, for a new one. @throws LongshoreError unavailable, not_supported when they are gone */
  again(taskId: TaskId, sent: SentFiles): Promise<SentFiles>
  /** Their names and sizes; undefined when they are not there any more. */
  list(sent: SentFiles): Promise<{ path: string; size: number }[] | undefined>
  /** Of a task that was not accepted. Never throws: what stays, the workers' collector removes. */
  drop(sent: SentFiles): Promise<void>
}

interface SentFilesDeps { store: BlobStore; ledgerId(): Promise<string>; log: Log }

export function createSentFiles({ store, ledgerId, log }: SentFilesDeps): SentFilesPort {
  const save = async (taskId: TaskId, content: AsyncIterable<Uint8Array>, { count, bytes }: Pick<SentFiles, 'count' | 'bytes'>): Promise<SentFiles> => {
    const key = sentKey(taskId, await ledgerId())
    const { sha256 } = await store.put(key, content, { maxBytes: MAX_PACKED_BYTES }).catch(refused(log))
    return { key, count, bytes, sha256 }
  }
  return {
    put: (taskId, files) => {
      const { packed, ...size } = packSent(files)
      return save(taskId, inOnePiece(packed), size)
    },
    again: async (taskId, sent) => {
      const found = await store.get(sent.key).catch(refused(log))
      if (found === undefined) throw new LongshoreError('not_supported', 'the files that were sent along with it are not kept any more', { field: 'task_id', next: 'Submit the work again, with its files.' })
      return save(taskId, found.content, sent)
    },
    list: async ({ key }) => {
      try {
        const found = await store.get(key, { start: 0, end: MAX_LISTING_BYTES })
        return found === undefined ? undefined : listSent(await whole(found.content)).map(({ path, bytes }: ListedFile) => ({ path, size: bytes }))
      } catch (error) {
        log.warn({ key, reason: String(error) }, 'the files that were sent along with a task cannot be listed')
        return undefined
      }
    },
    drop: async ({ key }) => {
      await store.delete(key).catch((error: unknown) => log.warn({ key, reason: String(error) }, 'the files of a task that was not accepted could not be removed; the collector does it'))
    },
  }
}

/**
 * Accepts a task with its files, or neither: they are there before it. After a refusal, and when the key has another task already (G2), they go; where it is
 * not known what became of the submit they stay, and the collector looks.
 */
export async function submitWith(ports: { ledger: Pick<Ledger, 'submit'>; sent: SentFilesPort }, task: NewTask, put: (() => Promise<SentFiles>) | undefined, limits?: SubmitLimits): ReturnType<Ledger['submit']> {
  if (put === undefined) return ports.ledger.submit(task, limits)
  const files = await put()
  try {
    const submitted = await ports.ledger.submit({ ...task, workspace: { ...task.workspace, files } }, limits)
    // A repeat that answers with this very task is our own, sent again after a lost answer.
    if (submitted.task.id !== task.id) await ports.sent.drop(files)
    return submitted
  } catch (error) {
    if (error instanceof LongshoreError) await ports.sent.drop(files)
    throw error
  }
}

async function* inOnePiece(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
}

async function whole(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** Where the store lies is the operator's to know. */
const refused = (log: Log) => (error: unknown): never => {
  if (!(error instanceof BlobFault)) throw error
  log.error({ reason: error.message }, 'files that are sent along with tasks cannot be put away')
  throw new LongshoreError('unavailable', 'the files cannot be put away now: the deployment\'s blob store does not work', { field: 'workspace.files', next: 'Try again later; if it stays, tell the operator: /ready says why (BLOBS_DIR).', cause: error })
}

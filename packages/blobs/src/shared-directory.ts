import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, type FileHandle, lstat, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { type BlobContent, BlobFault, type BlobInfo, BlobKey, type BlobStore, type ByteRange, type PutOptions } from '@longshore/contracts'

import { beginDraft, removeAbandoned, syncFolder } from './drafts.ts'
import { readSeal, sealOf } from './seal.ts'

const FOLDERS = 64
const DRAFTS = 'drafts'
/** An agent that could write here could put a link in place of a blob. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * A blob store in a folder that several processes share, also over a network: one file per blob, readable for its owner alone.
 * @param root absolute; made where it is missing. Nothing is touched before the first use: a folder that is not there yet costs no start.
 */
export function openSharedDirectory(root: string): BlobStore {
  const prepared = preparing(root)
  const pathOf = (key: BlobKey) => join(root, folderOf(key), BlobKey.parse(key))
  return {
    put: async (key, source, options) => {
      const path = pathOf(key)
      await guarded(root, prepared)
      return write(root, path, source, options)
    },
    get: async (key, range) => {
      const path = pathOf(key)
      const info = await guarded(root, () => infoOf(path, key))
      return info === undefined ? undefined : { info, content: contentOf(path, info, range) }
    },
    stat: (key) => guarded(root, () => infoOf(pathOf(key), key)),
    delete: (key) => guarded(root, () => rm(pathOf(key)).then(() => true, (error: unknown) => isMissing(error) ? false : Promise.reject(error))),
    list: (prefix = '') => listBlobs(root, prefix),
    probe: async () => {
      try {
        await prepared()
        await (await beginDraft(join(root, DRAFTS))).drop()
        return { ok: true }
      } catch (error) {
        return { ok: false, reason: `the blob store ${root} cannot be written (BLOBS_DIR): ${messageOf(error)}` }
      }
    },
    tidy: (now) => guarded(root, async () => {
      await prepared()
      return removeAbandoned(join(root, DRAFTS), now)
    }),
  }
}

/** The folders, made once and for their owner alone. */
function preparing(root: string): () => Promise<void> {
  let done: Promise<void> | undefined
  const prepare = async () => {
    await mkdir(root, { recursive: true, mode: 0o700 })
    for (const name of [DRAFTS, ...Array.from({ length: FOLDERS }, (_, i) => nameOf(i))]) {
      const path = join(root, name)
      await mkdir(path, { mode: 0o700 }).catch((error: unknown) => { if (!isThere(error)) throw error })
      if (!(await lstat(path)).isDirectory()) throw new Error(`${path} is not a folder`)
      await chmod(path, 0o700)
    }
    await syncFolder(root)
  }
  return () => {
    done ??= prepare()
    done.catch(() => { done = undefined })
    return done
  }
}

async function write(root: string, path: string, source: AsyncIterable<Uint8Array>, { maxBytes = Infinity, signal }: PutOptions = {}): Promise<BlobContent> {
  const draft = await guarded(root, () => beginDraft(join(root, DRAFTS)))
  const add = (piece: Uint8Array | string) => guarded(root, () => draft.file.writeFile(piece))
  try {
    const hash = createHash('sha256')
    let bytes = 0
    // What the source throws is its own affair, also where it is a disk's.
    for await (const piece of source) {
      signal?.throwIfAborted()
      bytes += piece.length
      if (bytes > maxBytes) throw new BlobFault('too_large', `a blob of more than ${maxBytes} bytes`)
      hash.update(piece)
      await add(piece)
    }
    signal?.throwIfAborted()
    const sha256 = hash.digest('hex')
    await add(sealOf(sha256))
    await guarded(root, () => draft.publish(path))
    return { bytes, sha256 }
  } catch (error) {
    await draft.drop()
    throw error
  }
}

interface OpenBlob { info: BlobInfo; file: FileHandle }

async function infoOf(path: string, key: BlobKey): Promise<BlobInfo | undefined> {
  const opened = await openBlob(path, key)
  await opened?.file.close()
  return opened?.info
}

async function openBlob(path: string, key: BlobKey): Promise<OpenBlob | undefined> {
  let file: FileHandle
  try {
    file = await open(path, READ)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new BlobFault('damaged', `something that is no file stands in place of the blob ${key}`)
    return { file, info: { key, storedAt: Math.floor(found.mtimeMs), ...(await readSeal(file, found.size)) } }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Opens the file when it is read: what nobody reads holds nothing open. */
async function* contentOf(path: string, info: BlobInfo, range?: ByteRange): AsyncGenerator<Uint8Array> {
  const opened = await openBlob(path, info.key)
  if (opened === undefined) throw new BlobFault('unavailable', `the blob ${info.key} was removed before it was read`)
  try {
    if (opened.info.sha256 !== info.sha256) throw new BlobFault('unavailable', `the blob ${info.key} was stored anew before it was read`)
    const [start, end] = [range?.start ?? 0, Math.min(range?.end ?? info.bytes, info.bytes)]
    const hash = createHash('sha256')
    if (start < end) {
      for await (const piece of opened.file.createReadStream({ start, end: end - 1, autoClose: false }) as AsyncIterable<Buffer>) {
        if (range === undefined) hash.update(piece)
        yield piece
      }
    }
    if (range === undefined && hash.digest('hex') !== info.sha256) throw new BlobFault('damaged', `the blob ${info.key} is not what was stored: its checksum does not fit`)
  } finally {
    await opened.file.close()
  }
}

async function* listBlobs(root: string, prefix: string): AsyncGenerator<BlobInfo> {
  // What belongs together lies together.
  const folders = prefix.includes('.') ? [folderOf(prefix)] : Array.from({ length: FOLDERS }, (_, i) => nameOf(i))
  for (const folder of folders) {
    const names = await readdir(join(root, folder)).catch((error: unknown) => { if (isMissing(error)) return []; throw error })
    for (const name of names) {
      if (!name.startsWith(prefix) || !BlobKey.safeParse(name).success) continue
      // It may have gone meanwhile; one that is damaged still takes its place, and is named as what it is.
      const path = join(root, folder, name)
      const info = await infoOf(path, name).catch(() => damaged(path, name))
      if (info !== undefined) yield info
    }
  }
}

async function damaged(path: string, key: BlobKey): Promise<BlobInfo | undefined> {
  const found = await lstat(path).catch(() => undefined)
  return found === undefined ? undefined : { key, bytes: found.size, sha256: '', storedAt: Math.floor(found.mtimeMs) }
}

/** Which of the folders: by the first word of the key. */
function folderOf(key: string): string {
  const word = key.slice(0, key.indexOf('.'))
  return nameOf(createHash('sha256').update(word).digest().readUInt8(0) % FOLDERS)
}

function nameOf(folder: number): string {
  return folder.toString(16).padStart(2, '0')
}

/** What the disk says becomes a fault with the store's name in it. */
async function guarded<T>(root: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    if (isOfDisk(error)) throw new BlobFault('unavailable', `the blob store ${root} does not work (BLOBS_DIR): ${error.message}`, error)
    throw error
  }
}

const DISK = new Set(['EACCES', 'EPERM', 'ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'ENOTDIR', 'ELOOP', 'ESTALE', 'EMFILE', 'ENOENT'])

function isOfDisk(error: unknown): error is Error {
  const code = codeOf(error)
  return typeof code === 'string' && DISK.has(code)
}

const isMissing = (error: unknown) => codeOf(error) === 'ENOENT'
const isThere = (error: unknown) => codeOf(error) === 'EEXIST'

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

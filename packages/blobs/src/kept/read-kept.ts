import { BlobFault, type BlobStore, type ByteRange, LongshoreError, nameToText, parseWorkspacePath, shownPath, type TaskId, walkOrder } from '@longshore/contracts'

import { findLine } from './find-line.ts'
import { DiffLine, IndexLine, linesOf } from './lines.ts'
import { type KeptBlob, keptKey, Manifest } from './manifest.ts'

export interface KeptEntry { path: string; inexact?: true; type: IndexLine['type']; size?: number; modified_at?: number; change?: NonNullable<IndexLine['change']> }
export interface KeptList { files: KeptEntry[]; next_cursor?: string; truncated: boolean; changes_unknown?: string }
export interface KeptDiff { patch: string; truncated: boolean; files_total: number; files_shown: number; files: { path: string; change: DiffLine['change']; previous_path?: string }[] }
export interface KeptFile { size: number; modifiedAt: number; content(range: ByteRange): AsyncIterable<Uint8Array> }

/** What is kept of one ended task, read as its workspace was. All of it @throws LongshoreError as reads of a live one do, and BlobFault. */
export interface KeptTask {
  readonly manifest: Manifest
  list(query: { path: string; limit: number; cursor: string | undefined }): Promise<KeptList>
  file(path: string): Promise<KeptFile>
  diff(query: { path: string | undefined; maxBytes: number }): Promise<KeptDiff>
  /** `total`: of the whole output. */
  output(range?: ByteRange): Promise<{ total: number; content: AsyncIterable<Uint8Array> }>
  archive(): Promise<{ total: number; content: AsyncIterable<Uint8Array> }>
}

/** Bytes of names after which a page is full, and entries and bytes of names in a diff: as of a live workspace. */
const FULL_AT = 256 * 1024
const MAX_DIFF_FILES = 1_000

/** undefined: nothing is there. @throws BlobFault */
export async function openKept(store: BlobStore, taskId: TaskId, edition: string): Promise<KeptTask | undefined> {
  const manifest = await readManifest(store, taskId, edition)
  if (manifest === undefined) return undefined
  const read = async (what: KeptBlob, range?: ByteRange): Promise<{ total: number; content: AsyncIterable<Uint8Array> }> => {
    const expected = manifest.blobs[what]
    if (expected === undefined) throw new LongshoreError('file_not_found', `nothing of it was kept: ${manifest.notes[what] ?? 'there was nothing'}`, { next: 'get_task_status still has the end of what the agent said.' })
    const found = await store.get(keptKey(taskId, edition, what), range)
    if (found === undefined) throw new BlobFault('unavailable', `the ${what} of ${taskId} is gone from the blob store`)
    if (found.info.sha256 !== expected.sha256) throw new BlobFault('damaged', `the ${what} of ${taskId} is not what was kept`)
    return { total: expected.bytes, content: found.content }
  }
  /** The lines from `order` on. */
  const indexFrom = async function* (order: string): AsyncGenerator<IndexLine> {
    const { bytes = 0 } = manifest.blobs.index ?? {}
    const start = await findLine(store, keptKey(taskId, edition, 'index'), bytes, order)
    for await (const line of linesOf(IndexLine, (await read('index', { start, end: bytes })).content)) if (walkOrder(line.name) >= order) yield line
  }
  return {
    manifest,
    list: (query) => list(manifest, indexFrom, query),
    file: async (path) => {
      const line = await lineOf(indexFrom, path)
      const { offset = 0, size = 0 } = line
      return { size, modifiedAt: line.modified_at ?? 0, content: (range) => contentOf(read, offset, size, range) }
    },
    diff: async (query) => diff(manifest, linesOf(DiffLine, (await read('diff')).content), query),
    output: (range) => read('output', range),
    archive: () => read('tar'),
  }
}

async function readManifest(store: BlobStore, taskId: TaskId, edition: string): Promise<Manifest | undefined> {
  const found = await store.get(keptKey(taskId, edition, 'manifest'))
  if (found === undefined) return undefined
  const pieces: Uint8Array[] = []
  for await (const piece of found.content) pieces.push(piece)
  const parsed = Manifest.safeParse(JSON.parse(Buffer.concat(pieces).toString('utf8')))
  if (!parsed.success) throw new BlobFault('damaged', `what was kept of ${taskId} cannot be read by this version`, parsed.error)
  return parsed.data
}

async function* contentOf(read: (what: 'tar', range: ByteRange) => Promise<{ content: AsyncIterable<Uint8Array> }>, offset: number, size: number, { start, end }: ByteRange): AsyncGenerator<Uint8Array> {
  const to = Math.min(end, size)
  if (start < to) yield* (await read('tar', { start: offset + start, end: offset + to })).content
}

type IndexFrom = (order: string) => AsyncGenerator<IndexLine>

async function list(manifest: Manifest, indexFrom: IndexFrom, { path, limit, cursor }: { path: string; limit: number; cursor: string | undefined }): Promise<KeptList> {
  const parts = parseWorkspacePath(path, 'path')
  const under = walkOrder(parts.join('/'))
  const after = cursor === undefined ? '' : walkOrder(Buffer.from(cursor, 'base64url').toString('latin1'))
  const files: IndexLine[] = []
  let [bytes, isFull, isThere] = [0, false, parts.length === 0]
  if (parts.length > 0 && after > under) isThere = true
  for await (const line of manifest.blobs.index === undefined ? [] : indexFrom(after > under ? after : under)) {
    const order = walkOrder(line.name)
    if (under !== '' && order !== under && !order.startsWith(`${under}\0`)) break
    isThere = true
    if (after !== '' && order <= after) continue
    isFull = files.length >= limit || bytes >= FULL_AT
    if (isFull) break
    bytes += line.name.length
    files.push(line)
  }
  if (!isThere) throw new LongshoreError('file_not_found', `path: ${shownPath(parts)} did not exist in the workspace when the task ended`, { field: 'path', next: 'get_task_files lists what was there.' })
  const last = files.at(-1)
  const { truncated, changes_unknown: unknown } = manifest.tree
  return {
    files: files.map(viewOf), truncated, ...(isFull && last !== undefined ? { next_cursor: Buffer.from(last.name, 'latin1').toString('base64url') } : {}),
    ...(unknown === undefined ? {} : { changes_unknown: unknown }),
  }
}

function viewOf({ name, type, size, modified_at, change }: IndexLine): KeptEntry {
  const path = nameToText(name)
  const isExact = Buffer.from(path, 'utf8').equals(Buffer.from(name, 'latin1'))
  return {
    path, ...(isExact ? {} : { inexact: true }), type, ...(size === undefined ? {} : { size }),
    ...(modified_at === undefined ? {} : { modified_at }), ...(change === undefined ? {} : { change }),
  }
}

async function lineOf(indexFrom: IndexFrom, path: string): Promise<IndexLine> {
  const field = 'file_path'
  const parts = parseWorkspacePath(path, field)
  const refuse = (why: string, next: string): never => { throw new LongshoreError('invalid_input', `${field}: ${shownPath(parts)} ${why}`, { field, next }) }
  if (parts.length === 0) return refuse('names no file', 'Ask get_task_files for names.')
  const name = parts.join('/')
  const line = await firstOf(indexFrom(walkOrder(name)))
  if (line?.name !== name || line.change === 'deleted') throw new LongshoreError('file_not_found', `${field}: ${shownPath(parts)} did not exist in the workspace when the task ended`, { field, next: 'get_task_files lists what was there.' })
  if (line.type === 'directory') return refuse('is a folder', 'Ask get_task_files with it as path.')
  if (line.type === 'symlink') return refuse('is a symbolic link, and links are not followed', 'Read what it points to by its own path.')
  if (line.left === 'quota') return refuse('was left out when the task was kept: all its files together are more than the deployment keeps of one task (BLOB_TASK_BYTES)', 'Ask the operator for a higher limit, and run the task again.')
  if (line.type === 'other') return refuse('is not a regular file', 'Pipes, sockets and devices cannot be read.')
  if (line.offset === undefined) return refuse('could not be read when the task was kept', 'It belonged to another user, or the agent took the right to read it away.')
  return line
}

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item
  return undefined
}

async function diff(manifest: Manifest, lines: AsyncIterable<DiffLine>, { path = '', maxBytes }: { path: string | undefined; maxBytes: number }): Promise<KeptDiff> {
  const under = parseWorkspacePath(path, 'path').join('/')
  const isUnder = (name: string) => under === '' || name === under || name.startsWith(`${under}/`)
  const answer: KeptDiff = { patch: '', truncated: manifest.diff.truncated, files_total: 0, files_shown: 0, files: [] }
  let [bytes, names, isOpen] = [0, 0, true]
  for await (const { path: name, change, from, patch } of lines) {
    if (!isUnder(name)) continue
    answer.files_total += 1
    names += name.length + (from?.length ?? 0)
    if (answer.files.length < MAX_DIFF_FILES && names <= FULL_AT) answer.files.push({ path: nameToText(name), change, ...(from === undefined ? {} : { previous_path: nameToText(from) }) })
    else answer.truncated = true
    const size = patch === undefined ? Infinity : Buffer.byteLength(patch)
    if (isOpen && bytes + size <= maxBytes) {
      answer.patch += patch ?? ''
      answer.files_shown += 1
      bytes += size
      continue
    }
    if (isOpen && bytes === 0) answer.patch = headOf(patch ?? '', maxBytes)
    isOpen = false
    answer.truncated = true
  }
  return under === '' ? { ...answer, files_total: manifest.diff.files_total } : answer
}

/** Whole lines. */
function headOf(patch: string, maxBytes: number): string {
  const head = Buffer.from(patch).subarray(0, maxBytes)
  return head.subarray(0, head.lastIndexOf('\n') + 1).toString('utf8')
}

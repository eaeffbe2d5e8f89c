import { z } from 'zod'
import { BlobKey } from './blobs.ts'
import { LongshoreError } from './errors.ts'
import { MAX_SENT_BYTES, MAX_SENT_FILES, MAX_SENT_PATHS_BYTES } from './limits.ts'
import { parseWorkspacePath } from './workspace-path.ts'

/** What file systems let through. */
const MAX_NAME_BYTES = 255
const MAX_DEPTH = 64
const ALLOWED_PATH = 'allowed: a path relative to the workspace that names a file, without .. and .git'
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const FileToSend = z.strictObject({
  path: z.string().describe('Where it lies, relative to the workspace: src/a.txt. Not in .git.'),
  content: z.string().describe('Its content, as text or in base64.'),
  encoding: z.enum(['utf8', 'base64']).optional().describe('What content is: text (utf8, the default), or bytes in base64.'),
})
type FileToSend = z.infer<typeof FileToSend>

/** Files as a caller sends them. What is wrong with one is said at its place in the list. */
export const FilesToSend = z.array(FileToSend).max(MAX_SENT_FILES, `allowed: at most ${MAX_SENT_FILES} files; put more into a repository`).check((context) => {
  if (context.value.length > MAX_SENT_FILES) return
  for (const { path, message } of faultsOf(context.value)) context.issues.push({ code: 'custom', path, message, input: undefined })
})
export type FilesToSend = z.infer<typeof FilesToSend>

/** What a task's record holds of its files: which blob, and what is in it. `sha256` is the blob's; the same files have the same. */
export const SentFiles = z.strictObject({
  key: BlobKey,
  count: z.int().positive(),
  bytes: z.int().nonnegative().max(MAX_SENT_BYTES),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})
export type SentFiles = z.infer<typeof SentFiles>

interface Fault { path: (string | number)[]; message: string }

function* faultsOf(files: FilesToSend): Generator<Fault> {
  const [paths, folders] = [new Map<string, number>(), new Map<string, number>()]
  let [bytes, pathBytes] = [0, 0]
  for (const [i, file] of files.entries()) {
    const parts = partsOf(file.path)
    if (typeof parts === 'string') { yield { path: [i, 'path'], message: `got ${shown(file.path)}, which ${parts}; ${ALLOWED_PATH}` }; continue }
    const clash = clashOf(parts, paths, folders)
    if (clash !== undefined) yield { path: [i, 'path'], message: `got ${shown(file.path)}, which ${clash}; allowed: each file once, and none in place of a folder` }
    paths.set(parts.join('/'), i)
    for (let n = 1; n < parts.length; n++) folders.set(parts.slice(0, n).join('/'), i)
    const fault = contentFault(file)
    if (fault !== undefined) yield { path: [i, 'content'], message: fault }
    bytes += Buffer.byteLength(file.content, file.encoding)
    pathBytes += Buffer.byteLength(file.path)
  }
  if (bytes > MAX_SENT_BYTES) yield { path: [], message: `got ${bytes} bytes, allowed: at most ${MAX_SENT_BYTES} in all files together; put more into a repository` }
  if (pathBytes > MAX_SENT_PATHS_BYTES) yield { path: [], message: `got paths of ${pathBytes} bytes, allowed: at most ${MAX_SENT_PATHS_BYTES} in all paths together` }
}

function clashOf(parts: readonly string[], paths: ReadonlyMap<string, number>, folders: ReadonlyMap<string, number>): string | undefined {
  const path = parts.join('/')
  if (paths.has(path)) return `files[${paths.get(path)}] has, too`
  if (folders.has(path)) return `is a folder of files[${folders.get(path)}]`
  const above = parts.map((_, n) => paths.get(parts.slice(0, n).join('/'))).find((i) => i !== undefined)
  return above === undefined ? undefined : `lies in files[${above}], which is a file`
}

/** The names in a path, as bytes in latin1; what is wrong with it, where it is none that a file can have. */
function partsOf(path: string): readonly string[] | string {
  try {
    const parts = parseWorkspacePath(path, 'path')
    if (parts.length === 0 || /(?:^|\/)\.?$/.test(path)) return 'names a folder'
    // In any case, and at any depth: file systems may not tell them apart, and git takes orders from what lies there.
    if (parts.some((part) => part.toLowerCase() === '.git')) return 'is in a .git'
    if (parts.some((part) => part.length > MAX_NAME_BYTES)) return `has a name of more than ${MAX_NAME_BYTES} bytes`
    if (parts.length > MAX_DEPTH) return `lies more than ${MAX_DEPTH - 1} folders deep`
    return parts
  } catch (error) {
    if (error instanceof LongshoreError) return error.message.replace('path: ', '')
    throw error
  }
}

function contentFault({ content, encoding }: FileToSend): string | undefined {
  if (encoding === 'base64') return BASE64.test(content) ? undefined : 'got something else than base64, allowed: A-Z a-z 0-9 + / with = at the end, without line ends'
  return content.isWellFormed() ? undefined : 'got text that is not well-formed Unicode, allowed: text, or any bytes with encoding base64'
}

const shown = (path: string): string => JSON.stringify(path.slice(0, 80).toWellFormed())

// The blob: a line that lists the files, then their contents, one after the other.

const Listing = z.object({ v: z.literal(1), files: z.array(z.object({ path: z.string(), bytes: z.int().nonnegative().max(MAX_SENT_BYTES) })).max(MAX_SENT_FILES) })
/** The line at most: paths with every byte escaped, and what stands around them. */
export const MAX_LISTING_BYTES = 6 * MAX_SENT_PATHS_BYTES + 64 * MAX_SENT_FILES
export const MAX_PACKED_BYTES = MAX_LISTING_BYTES + MAX_SENT_BYTES

export interface ListedFile { path: string; bytes: number }
/** `parts`: names from the workspace down, as bytes in latin1. */
export interface UnpackedFile { path: string; parts: readonly string[]; content: Buffer }

/** Checked files as a blob: the same files, in whatever order, are the same bytes. */
export function packSent(files: FilesToSend): { packed: Buffer; count: number; bytes: number } {
  const all = files.map(({ path, content, encoding }) => ({ path: plain(path), content: Buffer.from(content, encoding) })).toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const listing = JSON.stringify({ v: 1, files: all.map(({ path, content }) => ({ path, bytes: content.length })) })
  return { packed: Buffer.concat([Buffer.from(`${listing}\n`), ...all.map(({ content }) => content)]), count: all.length, bytes: all.reduce((sum, { content }) => sum + content.length, 0) }
}

const plain = (path: string): string => path.split('/').filter((part) => part !== '' && part !== '.').join('/')

/** @param head at least the first line of a blob. @throws Error when it is none */
export function listSent(head: Buffer): ListedFile[] {
  return Listing.parse(JSON.parse(head.toString('utf8', 0, Math.max(head.indexOf('\n'), 0)))).files
}

/** @throws Error when it is not what `packSent` makes */
export function unpackSent(packed: Buffer): UnpackedFile[] {
  let at = packed.indexOf('\n') + 1
  const files = listSent(packed).map(({ path, bytes }) => {
    const parts = partsOf(path)
    if (typeof parts === 'string') throw new Error(`${shown(path)} ${parts}`)
    return { path, parts, content: packed.subarray(at, (at += bytes)) }
  })
  if (at !== packed.length) throw new Error('its files are not as long as it says')
  return files
}

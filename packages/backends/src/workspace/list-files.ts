import { type FileHandle, lstat, open, opendir } from 'node:fs/promises'
import { constants, type Stats } from 'node:fs'
import { type FileChange, MAX_PATH_BYTES, nameToText, parseWorkspacePath, walkOrder } from '@longshore/contracts'
import { changedNames } from './changed-names.ts'
import { GitCutShort } from './git.ts'
import { withLook } from './look.ts'
import { beneath, modifiedAt, notFound, withFolder } from './open-beneath.ts'
import { startOf } from './prepare.ts'
import type { Workspace } from './storage.ts'

const FIELD = 'path'
/** Names that are looked at in one folder; of a larger one the rest is not listed. */
const MAX_NAMES = 100_000
/** No project nests so deep; an agent can. */
const MAX_DEPTH = 64
/** What is in it has paths that read_task_file, a cursor and every system call take. */
const MAX_ENTERED_BYTES = MAX_PATH_BYTES - 256
/** A tree that takes longer to be compared is listed without changes. */
const COMPARE_MS = 10_000
/** Bytes of names after which a page is full, whatever it was asked for. */
const FULL_AT = 256 * 1024

export interface Entry {
  /** From `repo` down. Bytes that are not UTF-8 are shown as U+FFFD. */
  path: string
  /** The name is not UTF-8: what is shown is not what it is called, and it cannot be read by name. */
  inexact?: true
  type: 'file' | 'directory' | 'symlink' | 'other'
  /** Of files that are there. */
  size?: number
  modified_at?: number
  change?: FileChange['change']
}

export interface FileList {
  files: Entry[]
  /** There is more: go on with it. */
  next_cursor?: string
  /** A folder holds more than can be listed, or lies too deep. */
  truncated: boolean
  /** Why no entry has a `change`. */
  changes_unknown?: string
}

export interface ListQuery { path?: string | undefined; limit: number; cursor?: string | undefined }

/**
 * One page of the tree under `path`, in the order of names, each folder before what is in it; what was deleted since the start stands where it was.
 * Memory depends on the page alone, time on the page and on the folders it comes through, not on the tree. A `.git` is left out.
 * @throws LongshoreError file_not_found, invalid_input, not_started
 */
export async function listFiles(workspace: Workspace, { path = '', limit, cursor }: ListQuery, signal: AbortSignal): Promise<FileList> {
  const parts = parseWorkspacePath(path, FIELD)
  const base = await startOf(workspace)
  const changes = await changesSince(workspace, base, signal)
  const under = parts.join('/')
  const deleted = [...changes.kinds].flatMap(([name, change]) => (change === 'deleted' && (under === '' || name === under || name.startsWith(`${under}/`)) ? [name] : []))
  const page = newPage(signal, limit, cursor === undefined ? '' : walkOrder(Buffer.from(cursor, 'base64url').toString('latin1')))
  await walkFrom(workspace, parts, page).catch((error: unknown) => {
    if (deleted.length === 0 || signal.aborted) throw error
  })
  const merged = merge(page, deleted)
  const files = merged.slice(0, limit)
  const last = files.at(-1)
  return {
    files: files.map((found) => view(found, changes.kinds.get(found.name))),
    ...(last !== undefined && (page.isFull || merged.length > files.length) ? { next_cursor: Buffer.from(last.name, 'latin1').toString('base64url') } : {}),
    truncated: page.isTruncated,
    ...(changes.unknown === undefined ? {} : { changes_unknown: changes.unknown }),
  }
}

/** By a signal. */
const CUT = new Set(['AbortError', 'TimeoutError'])

async function changesSince(workspace: Workspace, base: string, signal: AbortSignal): Promise<{ kinds: Map<string, FileChange['change']>; unknown?: string }> {
  try {
    const names = await withLook(workspace, base, AbortSignal.any([signal, AbortSignal.timeout(COMPARE_MS)]), ({ tree, ask }) => changedNames(ask, base, tree))
    return { kinds: new Map(names.flatMap(({ path, change }) => (change === 'renamed' ? [] : [[path, change]]))) }
  } catch (error) {
    if (signal.aborted) throw error
    return { kinds: new Map(), unknown: error instanceof GitCutShort || (error instanceof Error && CUT.has(error.name)) ? 'there is too much in the workspace to compare it with its start in time' : 'the workspace cannot be compared with its start now' }
  }
}

/** `name`: from `repo` down, bytes as latin1. */
interface Found { name: string; stats?: Stats }
interface Page { readonly signal: AbortSignal; readonly limit: number; readonly after: string; found: Found[]; bytes: number; isFull: boolean; isTruncated: boolean }

function newPage(signal: AbortSignal, limit: number, after: string): Page {
  return { signal, limit, after, found: [], bytes: 0, isFull: false, isTruncated: false }
}

function isBefore(page: Page, name: string): boolean {
  return page.after !== '' && walkOrder(name) <= page.after
}

/** What was listed before is only entered when the cursor stands within it. */
function isPassed(page: Page, name: string): boolean {
  return isBefore(page, name) && walkOrder(name) !== page.after && !page.after.startsWith(`${walkOrder(name)}\0`)
}

async function walkFrom(workspace: Workspace, parts: readonly string[], page: Page): Promise<void> {
  if (parts.length === 0) return withFolder(workspace, [], FIELD, (repo) => walk(repo, '', page, 0))
  const [name, prefix] = [parts.at(-1) ?? '', parts.slice(0, -1).join('/')]
  return withFolder(workspace, parts.slice(0, -1), FIELD, async (folder) => {
    if (!(await take(folder, name, prefix, page, parts.length))) throw notFound(parts, FIELD)
  })
}

async function walk(folder: FileHandle, prefix: string, page: Page, depth: number): Promise<void> {
  page.signal.throwIfAborted()
  const { names, isCut } = await namesIn(folder, prefix, page)
  for (const name of names) {
    await take(folder, name, prefix, page, depth)
    if (page.isFull) return
  }
  // Some of them went meanwhile; what was not held is for the next page.
  if (isCut) page.isFull = true
}

/** Takes a name into the page, and what is beneath it. @returns whether it is there */
async function take(folder: FileHandle, name: string, prefix: string, page: Page, depth: number): Promise<boolean> {
  const path = prefix === '' ? name : `${prefix}/${name}`
  if (isPassed(page, path)) return true
  const stats = await lstat(beneath(folder, name)).catch(() => undefined)
  if (stats === undefined) return false
  if (!isBefore(page, path)) {
    // One more than asked for tells that there is more.
    if (page.found.length >= page.limit || page.bytes >= FULL_AT) page.isFull = true
    else page.found.push({ name: path, stats })
    page.bytes += path.length
  }
  if (page.isFull || !stats.isDirectory()) return true
  if (depth >= MAX_DEPTH || path.length > MAX_ENTERED_BYTES) page.isTruncated = true
  else await enter(folder, name, (inner) => walk(inner, path, page, depth + 1))
  return true
}

/** A folder that went, or became a link, is passed over. */
async function enter(folder: FileHandle, name: string, use: (inner: FileHandle) => Promise<void>): Promise<void> {
  const inner = await open(beneath(folder, name), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW).catch(() => undefined)
  if (inner === undefined) return
  try {
    await use(inner)
  } finally {
    await inner.close()
  }
}

/** The first names of a folder, as many as the page can still take: folders that are nested hold no more than that each. */
async function namesIn(folder: FileHandle, prefix: string, page: Page): Promise<{ names: string[]; isCut: boolean }> {
  const room = page.limit - page.found.length + 1
  let [names, seen, isCut]: [string[], number, boolean] = [[], 0, false]
  const cut = (): void => {
    const sorted = names.sort()
    names = sorted.slice(0, fitting(sorted, room))
    isCut ||= names.length < sorted.length
  }
  for await (const { name } of await opendir(beneath(folder).toString('latin1'), { encoding: 'latin1', bufferSize: 1_024 })) {
    if ((seen += 1) > MAX_NAMES) {
      page.isTruncated = true
      break
    }
    if (name === '.git' || isPassed(page, prefix === '' ? name : `${prefix}/${name}`)) continue
    if (names.push(name) > 2 * room + 1_000) cut()
  }
  cut()
  return { names, isCut }
}

/** How many of them a page of `room` names takes; one more than its bytes allow shows that there is more. */
function fitting(names: readonly string[], room: number): number {
  let bytes = 0
  const end = names.findIndex((name, i) => i >= room || (bytes += name.length) - name.length > FULL_AT)
  return end < 0 ? names.length : end
}

/** What was deleted, where it was; as far as the walk came. */
function merge(page: Page, deleted: readonly string[]): Found[] {
  const there = new Set(page.found.map(({ name }) => name))
  const end = page.isFull ? walkOrder(page.found.at(-1)?.name ?? '') : undefined
  const gone = deleted.filter((name) => !there.has(name) && !isBefore(page, name) && (end === undefined || walkOrder(name) <= end))
  if (gone.length === 0) return page.found
  return [...page.found, ...gone.map((name) => ({ name }))].map((found) => ({ found, key: walkOrder(found.name) })).sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ found }) => found)
}

function view({ name, stats }: Found, change: FileChange['change'] | undefined): Entry {
  const path = nameToText(name)
  const isExact = Buffer.from(path, 'utf8').equals(Buffer.from(name, 'latin1'))
  return {
    path, ...(isExact ? {} : { inexact: true }), type: typeOf(stats),
    ...(stats === undefined ? {} : { modified_at: modifiedAt(stats), ...(stats.isFile() ? { size: stats.size } : {}) }),
    ...(change === undefined ? {} : { change }),
  }
}

/** What was deleted was a file or a link; git knows no folders. */
function typeOf(stats: Stats | undefined): Entry['type'] {
  if (stats === undefined || stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'other'
}

import { nameToText, parseWorkspacePath } from '@longshore/contracts'
import { type Change, type ChangedName, changedNames } from './changed-names.ts'
import { treeToShow } from './diff-tree.ts'
import { type Git, withLook } from './look.ts'
import { startOf } from './prepare.ts'
import type { Workspace } from './storage.ts'

const FIELD = 'path'
const MAX_LISTED = 1_000
const MAX_LISTED_BYTES = 256 * 1024
/** Above this many files on both sides only equal files are seen to have been renamed. */
const RENAMES = ['-M', '-l500']

/** What a task changed since its start. */
export interface WorkspaceDiff {
  /** Unified, whole lines. A file whose beginning alone is too long is cut within; else only whole files are in it. */
  patch: string
  /** Something is missing from `patch` or `files`. */
  truncated: boolean
  files_total: number
  /** Files whose part of the patch is whole. */
  files_shown: number
  files: { path: string; change: Change; previous_path?: string }[]
}

/**
 * The unified patch from the start to now, by our own baseline: it needs no repository of the agent's, and runs nothing of one.
 * @param path only what is at or beneath it
 * @throws LongshoreError not_started, invalid_input; GitCutShort when there is too much to look at
 */
export async function diffWorkspace(workspace: Workspace, { maxBytes, path = '' }: { maxBytes: number; path?: string | undefined }, signal: AbortSignal): Promise<WorkspaceDiff> {
  const under = parseWorkspacePath(path, FIELD).join('/')
  const base = await startOf(workspace)
  return withLook(workspace, base, signal, async ({ tree, ask }) => {
    const changes = (await changedNames(ask, base, tree)).filter((one) => under === '' || one.path === under || one.path.startsWith(`${under}/`))
    const { names, said, left } = await patchOf({ workspace, ask, base, changes, maxBytes })
    const { patch, whole } = cutPatch(said.bytes, said.isCut)
    const listed = fitting(names)
    return {
      patch,
      truncated: said.isCut || left > 0 || names.length > listed.length,
      files_total: names.length + left,
      files_shown: whole,
      files: listed.map(view),
    }
  })
}

interface PatchQuery { workspace: Workspace; ask: Git; base: string; changes: readonly ChangedName[]; maxBytes: number }

/** `left`: changes that are in neither. */
async function patchOf({ workspace, ask, base, changes, maxBytes }: PatchQuery): Promise<{ names: ChangedName[]; said: { bytes: Buffer; isCut: boolean }; left: number }> {
  const { tree, left } = await treeToShow(workspace, ask, base, changes)
  const names = await changedNames(ask, base, tree, RENAMES)
  const said = await ask(['diff-tree', '-r', '-p', ...RENAMES, '--no-ext-diff', '--no-textconv', '--no-color', base, tree], { maxBytes })
  return { names, said, left }
}

/** Everything that a task changed, file by file; names are bytes as latin1. */
export interface WholeDiff {
  /** Of every name that differs, without renames. */
  changes: ChangedName[]
  /** `patch`: absent where it did not fit. */
  files: (ChangedName & { patch?: string })[]
  truncated: boolean
  files_total: number
}

/** As `diffWorkspace`, all of it in one look. @throws LongshoreError not_started; GitCutShort */
export async function wholeDiff(workspace: Workspace, maxBytes: number, signal: AbortSignal): Promise<WholeDiff> {
  const base = await startOf(workspace)
  return withLook(workspace, base, signal, async ({ tree, ask }) => {
    const changes = await changedNames(ask, base, tree)
    const { names, said, left } = await patchOf({ workspace, ask, base, changes, maxBytes })
    const { patch, whole } = cutPatch(said.bytes, said.isCut)
    const patches = patchesIn(patch).slice(0, whole)
    return {
      changes, truncated: said.isCut || left > 0, files_total: names.length + left,
      files: names.map((name, i) => Object.assign(name, patches[i] === undefined ? {} : { patch: patches[i] })),
    }
  })
}

function fitting(names: readonly ChangedName[]): readonly ChangedName[] {
  let bytes = 0
  const end = names.findIndex(({ path, from = '' }, i) => i >= MAX_LISTED || (bytes += path.length + from.length) > MAX_LISTED_BYTES)
  return end < 0 ? names : names.slice(0, end)
}

function view({ path, change, from }: ChangedName): WorkspaceDiff['files'][number] {
  return { path: nameToText(path), change, ...(from === undefined ? {} : { previous_path: nameToText(from) }) }
}

const HEADER = 'diff --git '
/** Git's lines end with \n alone; what else ends a line for others is content. */
const BEFORE_HEADER = new RegExp(`(?<![^\\n])(?=${HEADER})`)

/** Ends a patch that was cut short where a file ends, or, in its first file, where a line ends. */
export function cutPatch(bytes: Buffer, isCut: boolean): { patch: string; whole: number } {
  const last = isCut ? bytes.lastIndexOf(`\n${HEADER}`) : -1
  const end = !isCut ? bytes.length : (last >= 0 ? last : bytes.lastIndexOf('\n')) + 1
  const patch = bytes.subarray(0, end).toString('utf8')
  return { patch, whole: isCut && last < 0 ? 0 : countFiles(patch) }
}

/** A file that became a link has two headers, one after the other and equal. Lines of content begin with another character. */
function countFiles(patch: string): number {
  return patchesIn(patch).length
}

function patchesIn(patch: string): string[] {
  const patches: string[] = []
  let last: string | undefined
  for (const part of patch.split(BEFORE_HEADER)) {
    const header = part.slice(0, part.indexOf('\n'))
    if (part === '') continue
    if (header === last) patches.push(`${patches.pop() ?? ''}${part}`)
    else patches.push(part)
    last = header
  }
  return patches
}

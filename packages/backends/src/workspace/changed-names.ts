import type { FileChange } from '@longshore/contracts'
import type { TreeId } from './changes.ts'
import { GitCutShort } from './git.ts'
import type { Git } from './look.ts'

export type Change = FileChange['change'] | 'renamed'
/** Names are bytes as latin1. `from`: its earlier name. */
export interface ChangedName { path: string; change: Change; from?: string }

const KINDS: Readonly<Record<string, Change>> = { A: 'added', M: 'modified', T: 'modified', D: 'deleted', R: 'renamed' }
const MAX_BYTES = 4 * 1024 * 1024

/** What differs between two trees, in git's order. @throws GitCutShort */
export async function changedNames(git: Git, base: TreeId, tree: TreeId, renames: readonly string[] = ['--no-renames']): Promise<ChangedName[]> {
  const { bytes, isCut } = await git(['diff-tree', '-r', '-z', ...renames, '--no-ext-diff', '--name-status', base, tree], { maxBytes: MAX_BYTES })
  if (isCut) throw new GitCutShort(`more than ${MAX_BYTES} bytes of names of changed files`)
  return parseNames(bytes.toString('latin1').split('\0'))
}

/** `--name-status -z`: kind, name; of a rename: kind and likeness, old name, new name. */
export function parseNames(fields: readonly string[]): ChangedName[] {
  const names: ChangedName[] = []
  for (let i = 0; i + 1 < fields.length;) {
    const change = KINDS[fields[i]?.charAt(0) ?? '']
    const [first, second] = [fields[i + 1] ?? '', fields[i + 2] ?? '']
    if (change !== undefined) names.push(change === 'renamed' ? { path: second, change, from: first } : { path: first, change })
    i += change === 'renamed' ? 3 : 2
  }
  return names
}

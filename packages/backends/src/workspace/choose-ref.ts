import { GitRef } from '@longshore/contracts'

/** What to fetch, and what it is checked out as. */
export interface Chosen {
  /** A full name of the server's, or a commit. */
  want: string
  /** The branch that the agent finds itself on; undefined: none, as with a tag. */
  branch?: string
}

const COMMIT = /^[0-9a-f]{40}$/

/** From what `git ls-remote --symref` says; undefined: no such ref. A branch comes before a tag of the same name. */
export function chooseRef(listing: string, ref: string | undefined): Chosen | undefined {
  const lines = listing.split('\n').map((line) => line.split('\t'))
  const names = new Set(lines.filter(([id]) => COMMIT.test(id ?? '')).map(([, name]) => name))
  if (ref === undefined) {
    const head = lines.find(([what, name]) => name === 'HEAD' && what?.startsWith('ref: refs/heads/'))?.[0]?.slice('ref: refs/heads/'.length)
    if (!names.has('HEAD')) return undefined
    // The server chose this name.
    return { want: 'HEAD', branch: GitRef.safeParse(head).data ?? 'main' }
  }
  const full = [`refs/heads/${ref}`, `refs/tags/${ref}`, ref].find((name) => name.startsWith('refs/') && names.has(name))
  if (full !== undefined) return { want: full, ...(full.startsWith('refs/heads/') ? { branch: full.slice('refs/heads/'.length) } : {}) }
  return COMMIT.test(ref) ? { want: ref } : undefined
}

/** What the server is asked about. */
export function patternsFor(ref: string | undefined): string[] {
  return ref === undefined ? ['HEAD'] : [`refs/heads/${ref}`, `refs/tags/${ref}`, ...(ref.startsWith('refs/') ? [ref] : [])]
}

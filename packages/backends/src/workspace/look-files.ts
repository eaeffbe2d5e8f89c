import { constants } from 'node:fs'
import { access, lstat } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'

/** A larger file is not read to see whether it changed: hashing it would take as long as a look may. */
const MAX_COMPARED_BYTES = 256 * 1024 * 1024
const AT_ONCE = 64

export interface Changed { files: string[]; gone: string[]; unread: string[] }

/**
 * What became of names that git calls changed. `files`: to be compared with what they were in `before`, and git may read them. `gone`: nothing is
 * there, or something that is no file, or it lies beyond a link now. `unread`: there, and need not or cannot be compared. Names are bytes as latin1.
 */
export async function sortChanged(root: string, names: readonly string[], before: ReadonlySet<string>, signal: AbortSignal): Promise<Changed> {
  const kinds = kindsIn(root, before)
  const changed: Changed = { files: [], gone: [], unread: [] }
  // A name that ends with a slash is a nested repository, which is not entered.
  const all = [...new Set(names)].filter((name) => name !== '' && !name.endsWith('/'))
  for (let i = 0; i < all.length; i += AT_ONCE) {
    await setImmediate() // what is known already is answered without a pause, and a worker has more to do
    signal.throwIfAborted()
    const some = all.slice(i, i + AT_ONCE)
    for (const [j, kind] of (await Promise.all(some.map(kinds))).entries()) changed[kind].push(some[j] ?? '')
  }
  return changed
}

function kindsIn(root: string, before: ReadonlySet<string>): (name: string) => Promise<keyof Changed> {
  const pathOf = (name: string) => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, 'latin1')])
  const folders = new Map<string, Promise<boolean>>()
  const isFolder = (name: string): Promise<boolean> => {
    const known = folders.get(name)
    if (known !== undefined) return known
    const answer = Promise.all([parentIsFolder(name), lstat(pathOf(name)).then((found) => found.isDirectory(), () => false)]).then((both) => both.every(Boolean))
    folders.set(name, answer)
    return answer
  }
  const parentIsFolder = (name: string): Promise<boolean> => {
    const end = name.lastIndexOf('/')
    return end < 0 ? Promise.resolve(true) : isFolder(name.slice(0, end))
  }
  return async (name) => {
    const found = (await parentIsFolder(name)) ? await lstat(pathOf(name)).catch(() => undefined) : undefined
    if (found === undefined || !(found.isFile() || found.isSymbolicLink())) return 'gone'
    if (!before.has(name) || found.size > MAX_COMPARED_BYTES) return 'unread'
    if (found.isSymbolicLink()) return 'files'
    return access(pathOf(name), constants.R_OK).then(() => 'files', () => 'unread')
  }
}

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** The library folders of unpacked Debian packages, such as `root/usr/lib/x86_64-linux-gnu`, as LD_LIBRARY_PATH wants them. */
export async function libraryPath(root: string): Promise<string> {
  const lib = join(root, 'usr/lib')
  const folders = (await readdir(lib)).filter((name) => name.includes('-linux-gnu'))
  return [...folders.map((name) => join(lib, name)), lib].join(':')
}

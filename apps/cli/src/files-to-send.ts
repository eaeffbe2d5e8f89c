import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { basename, isAbsolute, normalize } from 'node:path'
import { type FilesToSend, MAX_SENT_BYTES } from '@longshore/contracts'
import { Complaint } from './command.ts'

/** What `--file LOCAL[:PATH]` names, read. @throws Complaint */
export async function filesToSend(named: readonly string[]): Promise<FilesToSend> {
  const files: FilesToSend = []
  let left = MAX_SENT_BYTES
  for (const name of named) {
    const { local, path } = splitName(name)
    const content = await readLocal(local, left)
    left -= content.length
    // As bytes: whether it is text is not asked.
    files.push({ path, content: content.toString('base64'), encoding: 'base64' })
  }
  return files
}

/** The last colon divides: paths in workspaces seldom have one. */
export function splitName(name: string): { local: string; path: string } {
  const colon = name.lastIndexOf(':')
  const [local, path] = colon < 0 ? [name, ''] : [name.slice(0, colon), name.slice(colon + 1)]
  if (local === '' || (colon >= 0 && path === '')) throw new Complaint(`--file: got "${name}", allowed: LOCAL or LOCAL:PATH. A name with a colon in it needs both.`)
  if (path !== '') return { local, path }
  const plain = normalize(local)
  return { local, path: isAbsolute(plain) || plain.startsWith('..') ? basename(plain) : plain }
}

async function readLocal(local: string, left: number): Promise<Buffer> {
  let file: FileHandle
  try {
    // A pipe must not hold us.
    file = await open(local, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw new Complaint(`--file: "${local}" cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}).`, { cause: error })
  }
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new Complaint(`--file: "${local}" is no file. Name each file of a folder, or put it into a repository.`)
    if (found.size > left) throw new Complaint(`--file: "${local}" is too large: all files together may have ${MAX_SENT_BYTES} bytes. Put more into a repository.`)
    return await file.readFile()
  } finally {
    await file.close()
  }
}

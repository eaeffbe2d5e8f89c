import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Complaint } from '../command.ts'

/** The folder of all state, held by this process alone until `release`. */
export interface Home { path: string; release(): void }

/**
 * Makes the folder, proves that it can be written, and takes its lock.
 * @throws Complaint when it cannot be written, or another `longshore up` holds it
 */
export async function openHome(path: string): Promise<Home> {
  await proveWritable(path)
  const lock = takeLock(join(path, 'lock'))
  if (lock === undefined) throw new Complaint(`Longshore already runs with LONGSHORE_HOME ${path}. Stop it there, or give this one another home and other ports: LONGSHORE_HOME=.longshore-2 MCP_PORT=3466 CONSOLE_PORT=3467 npm start`)
  return { path, release: () => lock.close() }
}

async function proveWritable(path: string): Promise<void> {
  const probe = join(path, `probe-${process.pid}`)
  try {
    await makeFolder(path)
    await writeFile(probe, '')
    await rm(probe)
  } catch (error) {
    throw new Complaint(`LONGSHORE_HOME: cannot write to ${path} (${reasonOf(error)}). Choose a folder that you may write to: LONGSHORE_HOME=/path npm start`, { cause: error })
  }
}

// Node's own recursive mkdir never returns where a file system answers ENOENT to every mkdir, as /proc does.
async function makeFolder(path: string): Promise<void> {
  const make = () => mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error
  })
  await make().catch(async (error: unknown) => {
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error
    await makeFolder(dirname(path))
    await make()
  })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function reasonOf(error: unknown): string {
  const code = codeOf(error)
  const known: Readonly<Record<string, string>> = {
    EACCES: 'permission denied', EPERM: 'permission denied', EROFS: 'read-only file system', ENOSPC: 'no space left', ENOTDIR: 'a part of the path is a file', ENOENT: 'no folder can be made there',
  }
  return known[code] ?? (code === '' ? String(error) : code)
}

// An SQLite transaction is the one lock in Node that the kernel frees when its holder dies: no stale pid file.
function takeLock(file: string): DatabaseSync | undefined {
  const database = new DatabaseSync(file)
  try {
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch (error) {
    database.close()
    if (error instanceof Error && error.message.includes('locked')) return undefined
    throw error
  }
}

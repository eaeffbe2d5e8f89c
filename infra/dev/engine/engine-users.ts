import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { stopPrivateEngine } from './private-engine.ts'

/** Says that somebody wants the private engine to stay until it is taken down by hand. */
export async function keepEngine(folder: string): Promise<void> {
  await writeFile(join(folder, 'keep'), '')
}

export async function unkeepEngine(folder: string): Promise<void> {
  await rm(join(folder, 'keep'), { force: true })
}

/**
 * Joins those who may use the private engine of this folder. The last one to leave stops it, unless it is kept.
 * Who was killed has left: the lock is the kernel's.
 * @returns leaves
 */
export async function joinEngineUsers(folder: string, env: NodeJS.ProcessEnv): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true })
  const file = join(folder, 'users')
  const membership = new DatabaseSync(file)
  while (!tries(membership, 'BEGIN; SELECT count(*) FROM sqlite_schema')) await sleep(50)
  return async () => {
    membership.close()
    const last = new DatabaseSync(file)
    try {
      if (tries(last, 'BEGIN EXCLUSIVE') && !(await isKept(folder))) await stopPrivateEngine(folder, env)
    } finally {
      last.close()
    }
  }
}

/** False while others hold the file in a way that forbids it. */
function tries(database: DatabaseSync, statement: string): boolean {
  try {
    database.exec(statement)
    return true
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('locked'))) throw error
    if (database.isTransaction) database.exec('ROLLBACK')
    return false
  }
}

function isKept(folder: string): Promise<boolean> {
  return access(join(folder, 'keep')).then(
    () => true,
    () => false,
  )
}

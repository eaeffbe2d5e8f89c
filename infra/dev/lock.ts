import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

const EVERY_MS = 50

/**
 * Runs `work` while no other process holds the lock of this file.
 * SQLite's exclusive transaction is the one portable lock in Node that the kernel frees when its holder dies.
 */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const database = new DatabaseSync(file)
  try {
    while (!isTaken(database)) await sleep(EVERY_MS)
    return await work()
  } finally {
    database.close()
  }
}

function isTaken(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (error instanceof Error && error.message.includes('locked')) return false
    throw error
  }
}

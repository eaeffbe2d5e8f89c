import { readFile, writeFile } from 'node:fs/promises'

import type { DeploymentId } from '@longshore/contracts'
import type { Identity } from '@longshore/ledger'

/** In the storage's root, out of agents' reach: which ledger the executions on this storage belong to. */
export function markFileOf(deployment: DeploymentId): string {
  return `.longshore-ledger-${deployment}`
}

/**
 * G10: whether the state on disk belongs to the Redis that this worker talks to. A storage without a mark gets this one's: what
 * stood there before is older than the ledger, and so is left alone.
 * @returns the reason why not, for people; undefined when it does
 */
export async function whyNotOurs(markFile: string, { id }: Identity): Promise<string | undefined> {
  await writeFile(markFile, `${id}\n`, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const known = (await readFile(markFile, 'utf8')).trim()
  return known === id ? undefined : `${markFile} names another ledger than this Redis holds (${known || 'none'}, not ${id}); if this Redis is the right one, remove that file`
}

import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentId } from '@longshore/contracts'
import type { ApiKeys, KeyHolder } from '@longshore/ledger'

export type KeyRole = 'agent' | 'operator'

/** Where a home keeps a key, readable by its owner only. */
function keyFile(home: string, role: KeyRole): string {
  return join(home, 'keys', role)
}

/** The key of this home, if it has one. */
export async function readKey(home: string, role: KeyRole): Promise<string | undefined> {
  const text = await readFile(keyFile(home, role), 'utf8').catch(() => '')
  return text.trim() === '' ? undefined : text.trim()
}

export interface StackKeys { agent: string; operator: string }

/**
 * Makes this home's two keys valid, and keeps them in its files: those that were given, else those of an earlier start, else fresh ones.
 * Redis holds digests only.
 */
export async function provisionKeys(apiKeys: ApiKeys, home: string, given: { agent?: string | undefined; operator?: string | undefined; agentId: AgentId }): Promise<StackKeys> {
  const provision = async (role: KeyRole, holder: KeyHolder): Promise<string> => {
    const name = `npm start (${role})`
    const known = given[role] ?? (await readKey(home, role))
    if (known !== undefined) await apiKeys.provision(known, holder, name)
    const key = known ?? (await apiKeys.make(holder, name)).key
    await writeKey(home, role, key)
    return key
  }
  return { agent: await provision('agent', { agentId: given.agentId }), operator: await provision('operator', 'operator') }
}

/** Forgets this home's key if it is the one with this id: else the next start would make it valid again. */
export async function forgetKey(apiKeys: ApiKeys, home: string, id: string): Promise<KeyRole | undefined> {
  for (const role of ['agent', 'operator'] as const) {
    const key = await readKey(home, role)
    if (key === undefined || (await apiKeys.verify(key))?.id !== id) continue
    await rm(keyFile(home, role))
    return role
  }
  return undefined
}

async function writeKey(home: string, role: KeyRole, key: string): Promise<void> {
  const file = keyFile(home, role)
  await mkdir(join(home, 'keys'), { recursive: true, mode: 0o700 })
  await writeFile(file, `${key}\n`, { mode: 0o600 })
  // The mode of writeFile holds for new files only.
  await chmod(file, 0o600)
}

import type { Range } from './address.ts'
import type { Agents } from './agents.ts'
import type { Allowed } from './allow-list.ts'
import type { Pass, Passes } from './grants.ts'
import type { OpenConnections } from './open-connections.ts'
import { Refused } from './refused.ts'
import type { Resolve } from './resolve.ts'
import type { Upstream } from './upstream.ts'

export interface ProxyOptions {
  passes: Passes
  upstreams: readonly Upstream[]
  allow: readonly Allowed[]
  /** Ranges beside the public ones to which names of the list may lead, and no others. */
  ranges: readonly Range[]
  agents: Agents
  resolve?: Resolve
}

/** What the ways through share. */
export interface Way extends Required<ProxyOptions> { open: OpenConnections }

/** What was refused to whom is told to the task's worker; where nobody is known, only to whoever asked. */
export async function noting<T>({ passes }: Way, pass: Pass, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Refused) passes.noteRefusal(pass, error)
    throw error
  }
}

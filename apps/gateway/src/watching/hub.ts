import { type Log, LongshoreError } from '@longshore/contracts'

import type { Caller } from '../operations/operation.ts'

/** Why we end a stream that could go on. */
export type CutReason = 'shutdown' | 'key_revoked'

/** A connection that stays open. */
export interface Connection {
  caller: Caller
  /** For figures. */
  kind: 'task' | 'fleet' | 'mcp'
  /** @throws LongshoreError unauthorized when the key is no longer good */
  recheck(): Promise<unknown>
  /** Shows that it lives. */
  beat(): void
  cut(reason: CutReason): void
}

export interface HubOptions {
  /** Of one agent, or of one key that belongs to none. */
  maxPerAgent: number
  max: number
  heartbeatMs: number
  log: Log
}

/** All connections of this process that stay open: how many there may be, that they live, and that their keys are still good. */
export interface Hub {
  /** @returns to be called when it is closed @throws LongshoreError overloaded, unavailable */
  admit(connection: Connection): () => void
  counts(): Record<Connection['kind'], number>
  /** Tells all of them to come back elsewhere. */
  stop(): void
}

export function createHub({ maxPerAgent, max, heartbeatMs, log }: HubOptions): Hub {
  const open = new Set<Connection>()
  const byAgent = new Map<string, number>()
  const count = (name: string, more: number) => {
    const left = (byAgent.get(name) ?? 0) + more
    if (left > 0) byAgent.set(name, left)
    else byAgent.delete(name)
  }
  const timer = setInterval(() => {
    for (const connection of open) connection.beat()
    void recheckAll(open, log)
  }, heartbeatMs)
  return {
    admit(connection) {
      const name = nameOf(connection.caller)
      if ((byAgent.get(name) ?? 0) >= maxPerAgent) {
        throw new LongshoreError('overloaded', `${maxPerAgent} event streams of yours are open here, and more are not allowed`, { next: 'Close one, or read get_task_history from a cursor; the operator can raise EVENTS_MAX_STREAMS_PER_AGENT.' })
      }
      if (open.size >= max) {
        throw new LongshoreError('unavailable', `${max} event streams are open at this gateway, which is all that it serves`, { next: 'Try again in some seconds: another gateway may answer. The operator can raise EVENTS_MAX_STREAMS.' })
      }
      open.add(connection)
      count(name, 1)
      return () => {
        if (open.delete(connection)) count(name, -1)
      }
    },
    counts() {
      const counts = { task: 0, fleet: 0, mcp: 0 }
      for (const { kind } of open) counts[kind]++
      return counts
    },
    stop() {
      clearInterval(timer)
      for (const connection of open) connection.cut('shutdown')
    },
  }
}

const nameOf = ({ isOperator, agentId, keyId }: Caller) => (isOperator || agentId === undefined ? `key ${keyId}` : `agent ${agentId}`)

/** A key that was revoked ends what it opened. One look per key; while Redis is away nothing can be read anyway. */
async function recheckAll(open: ReadonlySet<Connection>, log: Log): Promise<void> {
  const byKey = Map.groupBy(open, ({ caller }) => caller.keyId)
  for (const [keyId, connections] of byKey) {
    const isGood = await (connections[0]?.recheck() ?? Promise.resolve()).then(() => true, (error: unknown) => !(error instanceof LongshoreError && error.code === 'unauthorized'))
    if (isGood) continue
    log.info({ caller: keyId, streams: connections.length }, 'a key is not good any more: its event streams end')
    for (const connection of connections) connection.cut('key_revoked')
  }
}

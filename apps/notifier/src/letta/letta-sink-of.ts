import type { AgentId } from '@longshore/contracts'
import { outboxPrefix } from '@longshore/outbox'
import { keepRounds, type Settings } from '@longshore/runtime'
import type { Sink } from '../sink.ts'
import type { SinkDeps } from '../sinks-of.ts'
import { createDetaching } from './detach-due.ts'
import { createLettaApi } from './letta-api.ts'
import { createLettaSink } from './letta-sink.ts'

export type LettaSettings = Pick<Settings, 'LONGSHORE_DEPLOYMENT' | 'LETTA_API_URL' | 'LETTA_API_TOKEN' | 'LETTA_AGENTS' | 'LETTA_TIMEOUT_MS' | 'LETTA_DETACH_MS' | 'WORKSPACE_BLOCK_LIMIT' | 'WORKSPACE_MAX_EVENTS'>

/** How often it is looked which blocks are to be detached. */
const DETACH_EVERY_MS = 1_000

/** undefined: Letta is not asked for. */
export function lettaSinkOf(settings: LettaSettings, { now, log, signal, redis }: SinkDeps): Sink | undefined {
  const { LETTA_API_URL: url } = settings
  if (url === undefined) return undefined
  const api = createLettaApi({ url, token: settings.LETTA_API_TOKEN, timeoutMs: settings.LETTA_TIMEOUT_MS, signal })
  const detaching = createDetaching(redis, outboxPrefix(settings.LONGSHORE_DEPLOYMENT, 'letta'), settings.LETTA_DETACH_MS, { api, now, log })
  const rounds = keepRounds({ everyMs: DETACH_EVERY_MS, round: () => detaching.round(), log, failing: 'blocks of ended tasks cannot be detached' })
  signal.addEventListener('abort', () => void rounds.stop())
  return createLettaSink({ api, lettaIdOf: lettaIds(settings.LETTA_AGENTS), limits: { characters: settings.WORKSPACE_BLOCK_LIMIT, events: settings.WORKSPACE_MAX_EVENTS }, detaching, log, now })
}

const LETTA_ID = /^agent-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** @param listed `ours` or `ours=theirs`; without a list, whoever has an id of Letta's is theirs */
export function lettaIds(listed: readonly string[] | undefined): (agentId: AgentId) => string | undefined {
  if (listed === undefined) return (agentId) => (LETTA_ID.test(agentId) ? agentId : undefined)
  const ids = new Map(listed.map((entry) => entry.split('=')).map(([ours = '', theirs = ours]) => [ours, theirs]))
  return (agentId) => ids.get(agentId)
}

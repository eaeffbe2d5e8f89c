import { type AgentId, type Clock, isOver, type Log } from '@longshore/contracts'
import { letterId, type Notice } from '../notice.ts'
import type { Frozen } from '../outbox/frozen.ts'
import type { Outcome, Sink } from '../sink.ts'
import type { Detaching } from './detach-due.ts'
import { draftLetta, markerOf } from './draft-letta.ts'
import { type LettaApi, troubleOf } from './letta-api.ts'
import { type BlockLimits, labelOf } from './workspace-block.ts'

export interface LettaSinkDeps {
  api: LettaApi
  /** Letta's id of one of our agents; undefined: it does not live there. */
  lettaIdOf: (agentId: AgentId) => string | undefined
  limits: BlockLimits
  detaching: Pick<Detaching, 'add'>
  log: Log
  now: Clock
}

/**
 * Shows agents that live in Letta their tasks: a memory block per task, written by the one notifier that has the sink's lease
 * (L-24), and a message at the end, at least once (L-31). A projection of the log: nothing is read back from it.
 */
export function createLettaSink(deps: LettaSinkDeps): Sink {
  return {
    name: 'letta',
    draft: (task, view, events) => (deps.lettaIdOf(task.agent_id) === undefined ? { view, notices: [] } : draftLetta(deps.limits, task, view, events)),
    laneOf: (letter) => (letter.kind === 'reply' ? letter.room : letter.agent_id ?? ''),
    // Letta counts by token, not by agent.
    accountOf: () => 'letta',
    open: () => Promise.resolve({ kind: 'sent' }),
    freeze: (notice, { root }) => ({ v: 1, notice, txn: letterId(notice), place: (notice.kind === 'reply' ? undefined : deps.lettaIdOf(notice.agent_id ?? '')) ?? '', account: 'letta', content: root === undefined ? {} : { block: root }, frozen_at: deps.now() }),
    send: (frozen, isRetry) => send(deps, frozen, isRetry).catch((error: unknown) => troubleOf(error)),
  }
}

async function send(deps: LettaSinkDeps, frozen: Frozen, isRetry: boolean): Promise<Outcome> {
  const { notice, place } = frozen
  if (notice.kind === 'reply') return { kind: 'refused', reason: 'agents in Letta are not answered here' }
  if (place === '') return { kind: 'refused', reason: 'its agent is no longer one of Letta (LETTA_AGENTS)' }
  if (notice.kind === 'card') return { kind: 'sent', receipt: await show(deps, frozen, notice) }
  // The block first: whoever reads the message looks there. That it cannot be written keeps nobody from being told.
  await show(deps, frozen, notice).catch((error: unknown) => {
    const trouble = troubleOf(error)
    if (trouble.kind !== 'refused') throw error
    deps.log.warn({ task: notice.task_id, reason: trouble.reason }, 'a workspace block could not be written; only the message goes')
  })
  const isThere = isRetry && (await deps.api.wasTold(place, markerOf(notice.event_id), frozen.frozen_at - CLOCKS_APART_MS))
  if (!isThere) await deps.api.tell(place, notice.plain)
  return { kind: 'sent' }
}

/** Letta's clock and ours. */
const CLOCKS_APART_MS = 10 * 60_000

/** Writes the block, made and attached where it is not there yet. @returns its id */
async function show({ api, limits, detaching }: LettaSinkDeps, { place, content }: Frozen, notice: Notice): Promise<string> {
  const block = { value: notice.block ?? '', limit: limits.characters }
  const known = typeof content['block'] === 'string' ? content['block'] : undefined
  const blockId = known !== undefined && (await api.writeBlock(known, block)) ? known : await makeBlock(api, place, notice, block)
  if (isOver(notice.status)) await detaching.add(place, blockId)
  return blockId
}

/** One of a notifier that died before it could say so is found by its label. */
async function makeBlock(api: LettaApi, agentId: string, { task_id: taskId }: Notice, block: { value: string; limit: number }): Promise<string> {
  const label = labelOf(taskId)
  // First of all: an agent that Letta does not know leaves no block behind.
  const attached = await api.findAttached(agentId, label)
  const found = attached ?? (await api.findBlock(label))
  if (found !== undefined) await api.writeBlock(found, block)
  const blockId = found ?? (await api.createBlock({ label, description: `What becomes of coding task ${taskId}. Written by Longshore only; read it, do not edit it.`, ...block }))
  if (attached === undefined) await api.attach(agentId, blockId)
  return blockId
}

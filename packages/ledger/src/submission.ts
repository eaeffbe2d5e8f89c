import { hash } from 'node:crypto'

import { type Choice, choicesOf, IDEMPOTENCY_TTL_MS, LongshoreError, type NewTask, type Task } from '@longshore/contracts'

import { allotmentOf, noRoomForFiles, noRoomForWorkspace } from './allotments.ts'
import type { LedgerContext } from './create-ledger.ts'
import { newEventId } from './event-id.ts'
import type { Ledger } from './ledger.ts'
import type { MemoryGuard } from './memory-guard.ts'
import { fieldsOf, storedForm, taskFrom, ticketOf } from './record.ts'
import { SUBMIT } from './scripts.ts'
import { indexedTitle } from './task-index.ts'

/** G1 and G2: one script accepts the task, its key, its first ticket and its first event, or nothing. */
export function submission({ run }: LedgerContext, guard: MemoryGuard): Pick<Ledger, 'submit' | 'hasRoom'> {
  return {
    hasRoom: () => guard.hasRoom(),
    async submit(task, limits = {}) {
      await guard.check()
      const key = task.idempotency_key === undefined ? '' : sha256(task.idempotency_key)
      const { brief, prompt } = storedForm(task)
      const eventId = newEventId()
      const [kind, answer] = (await run(
        SUBMIT, task.id, task.agent_id, key, fingerprintOf(task), brief, prompt, eventId, IDEMPOTENCY_TTL_MS, limits.day?.tokens ?? '', limits.day?.cost_micros ?? '', indexedTitle(task.title), ...allotmentOf(task, limits),
      )) as ['new' | 'waits' | 'known' | 'conflict' | 'budget' | 'files' | 'workspaces', unknown]
      if (kind === 'conflict') throw conflict(String(answer))
      if (kind === 'budget') throw usedUp(task.agent_id, answer as [number, number])
      if (kind === 'files') throw noRoomForFiles(task, Number(answer), limits)
      if (kind === 'workspaces') throw noRoomForWorkspace(task, limits)
      if (kind === 'known') return { task: taskFrom(fieldsOf(answer) ?? {}), isNew: false }
      const stored = accepted(task, Number(answer), eventId)
      // One that waits for its workspace gets its ticket when it is its turn.
      return { task: stored, isNew: true, ...(kind === 'waits' ? {} : { ticket: ticketOf(stored) }) }
    },
  }
}

/** The record as the script wrote it: nothing in it is unknown here, so it is not read back. */
function accepted(task: NewTask, createdAt: number, eventId: string): Task {
  return { ...task, v: 1, state: 'queued', claim: 0, attempt: 0, ticket: 1, created_at: createdAt, seq: 1, last_event_id: eventId }
}

function conflict(other: string): LongshoreError {
  return new LongshoreError('idempotency_conflict', `idempotency_key was already used within 24 h for ${other}, with other input`, {
    field: 'idempotency_key',
    next: `read ${other} with get_task_status, or submit with a new idempotency_key`,
  })
}

function usedUp(agentId: string, [tokens, cost]: [number, number]): LongshoreError {
  return new LongshoreError('budget', `${agentId} has used its budget for today: ${tokens} tokens, ${cost} millionths of the currency`, {
    next: 'Wait until midnight UTC, or ask the operator to raise AGENT_DAILY_TOKENS or AGENT_DAILY_COST_MICROS.',
  })
}

/** What must be equal for a repeat to be the same submit. Mode is not: it may be the canary's choice, made anew. */
function fingerprintOf(task: Pick<Task, 'prompt' | 'timeout_ms' | 'profile' | 'observers' | 'max_attempts' | 'queue_ttl_ms' | 'budget_asked' | 'workspace' | 'permissions' | 'input_ttl_ms' | 'network' | 'callback_url' | Choice>): string {
  const { prompt, timeout_ms, profile, observers, max_attempts, queue_ttl_ms, budget_asked, workspace, permissions, input_ttl_ms, network, callback_url } = task
  // What came later counts only where it is given: earlier builds wrote prints without it, and those still hold.
  const later = [queue_ttl_ms, budget_asked, contentOf(workspace), choicesOf(task), permissions, input_ttl_ms === undefined ? undefined : { input_ttl_ms }, network === undefined ? undefined : { network }, callback_url === undefined ? undefined : { callback_url }].filter((value) => value !== undefined)
  return sha256(JSON.stringify([prompt, timeout_ms, profile, observers, max_attempts, ...later]))
}

/** Each submit has a blob of its own: what is in it counts, not its name. */
function contentOf(workspace: Task['workspace']): object | undefined {
  return workspace?.files === undefined ? workspace : { ...workspace, files: workspace.files.sha256 }
}

function sha256(text: string): string {
  return hash('sha256', text, 'base64url')
}

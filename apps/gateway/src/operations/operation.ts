import type { Allowed, Budget, Network, NewTask, PausedEnd, Profiles, Task, Ticket } from '@longshore/contracts'
import type { Doorbell, Ledger, Scope } from '@longshore/ledger'
import type { DeadLetters } from '@longshore/outbox'
import type { DrainRequests, Heartbeat } from '@longshore/queue'
import type { RolloutPolicy } from '@longshore/rollout'
import type { z } from 'zod'
import type { ModeStatus } from './mode-status.ts'
import type { SentFilesPort } from './sent-files.ts'
import type { TaskFiles } from './task-files-port.ts'

/** Who calls, as the API key says (G11). */
export interface Caller {
  /** Names the key in logs and audits; not the key. */
  keyId: string
  /** The agent that the key belongs to; an operator's key belongs to none. */
  agentId: string | undefined
  /** Has the scope `operate`: reaches every agent's tasks. */
  isOperator: boolean
  scopes: readonly Scope[]
}

/** One call of an operation. */
export interface Call {
  caller: Caller
  /** The `x-agent-id` header: a default for `agent_id`, under the same rule. */
  agentIdHeader: string | undefined
  /** Aborts when the client went away or the gateway stops: a wait ends early, work that was begun is finished. */
  signal: AbortSignal
}

/** What the handlers stand on. */
export interface Ports {
  ledger: Pick<Ledger, 'submit' | 'hasRoom' | 'get' | 'list' | 'counts' | 'cancel' | 'pause' | 'resume' | 'post' | 'inputs' | 'answer' | 'usage' | 'read' | 'poisoned' | 'isPoisoned' | 'unpoison'>
  doorbell: Pick<Doorbell, 'listen'>
  /** Brings an accepted task's ticket into the queue. Never throws: what it cannot do the reconciler does. */
  dispatch(ticket: Ticket): void
  rollout: { get(): Promise<RolloutPolicy>; set(percent: number, by: string): Promise<RolloutPolicy> }
  /** Modes that live workers name. */
  modes(): Promise<ModeStatus[]>
  /** Workers that are alive, by name. */
  workers(): Promise<Heartbeat[]>
  drains: DrainRequests
  /** What receivers of notices refused for good. */
  deadNotices: DeadLetters
  files: TaskFiles
  /** Files that are sent along with tasks. */
  sent: SentFilesPort
  newTaskId(): Task['id']
  /** Milliseconds since the epoch. */
  now(): number
  /** From package.json. */
  version: string
  /** Which agents may be asked for, by name. */
  profiles: Profiles
  /** What a task may choose (TASK_MODELS and its like). */
  allowed: Allowed
  limits: {
    /** TASK_MAX_ATTEMPTS. */
    maxAttempts: number
    /** Longest wait of a call with sync=true (SYNC_WAIT_MS). */
    syncWaitMs: number
    /** `timeout_ms` of a task that asks for none (RUNNER_TIMEOUT_MS). */
    defaultTimeoutMs: NewTask['timeout_ms']
    /** `queue_ttl_ms` of a task that asks for none (QUEUE_TTL_MS). */
    defaultQueueTtlMs: NonNullable<NewTask['queue_ttl_ms']>
    /** How long a task may stay paused (PAUSED_TTL_MS). */
    pausedTtlMs: NonNullable<NewTask['paused_ttl_ms']>
    /** What becomes of it then (PAUSED_END). */
    pausedEnd: PausedEnd
    /** The most that a task may ask for, and what it gets when it asks for nothing (TASK_TOKENS, TASK_COST_MICROS). */
    taskBudget: Budget | undefined
    /** What an agent may use in a day (AGENT_DAILY_TOKENS, AGENT_DAILY_COST_MICROS). */
    agentsDay: Budget | undefined
    /** Networks that a task may ask for (EGRESS, EGRESS_MOST, EGRESS_POLICY). */
    networks: readonly Network[]
    /** Addresses that a task may name for its webhooks (WEBHOOK_CALLBACK_ALLOW). */
    callbacks: readonly string[]
    /** Most bytes of a file in one answer (MAX_TASK_FILE_SIZE). */
    maxFileBytes: number
  }
}

/** What a client may assume of a call; all four are said, because the defaults of MCP are the dangerous ones. */
interface Hints { readOnlyHint: boolean; destructiveHint: boolean; idempotentHint: boolean; openWorldHint: boolean }

/**
 * One thing that can be asked of Longshore, defined once and served by every door: as an MCP tool and as an HTTP route.
 * Nothing here knows an SDK.
 */
export interface Operation<I extends z.ZodObject = z.ZodObject, O extends z.ZodObject = z.ZodObject> {
  /** Name of the tool, of the metric's label and of the log line. */
  name: string
  title: string
  description: string
  /** Strict: an unknown parameter is refused by name. */
  input: I
  output: O
  hints: Hints
  scope: Scope
  /** `{x}` stands for parameter x. Query parameters and body fill the others. */
  route: { method: 'GET' | 'POST' | 'PUT'; path: string; status?: number }
  /** Whether it is an MCP tool too; listed for keys that have its scope. */
  isTool: boolean
  /** How long the handler may wait on purpose (ms), besides its work. */
  patienceMs?(input: z.output<I>): number
  handle(input: z.output<I>, call: Call): Promise<z.output<O>>
  /** What the HTTP route answers instead: bytes as they are, streamed. `range`: that header. */
  download?(input: z.output<I>, call: Call, range: string | undefined): Promise<Download>
}

export interface Download { status: number; headers: Record<string, string>; body: AsyncIterable<Uint8Array> }

/** Keeps the types of input and output together where an operation is written; the table holds them as equals. */
export function defineOperation<I extends z.ZodObject, O extends z.ZodObject>(operation: Operation<I, O>): Operation {
  // The caller parses with `input` before it calls `handle`, so the widened parameter is always what `handle` expects.
  return operation
}

import { z } from 'zod'
import type { TaskId } from './ids.ts'

/** What a task's agent reaches: its model provider alone; the deployment's allow-list too; every public host. Narrowest first. */
export const NETWORKS = ['provider', 'allowlist', 'full'] as const
export const Network = z.enum(NETWORKS)
export type Network = z.infer<typeof Network>

/** The narrower of two. */
export function narrower(one: Network, other: Network): Network {
  return NETWORKS.indexOf(one) <= NETWORKS.indexOf(other) ? one : other
}

/** A model provider as the proxy knows it. Secret. */
export interface ModelProvider {
  /** By which agents ask for it. */
  name: string
  /** `https://api.example.com/v1`: what it serves begins with this. */
  base: string
  /** Put where the agent put its token; undefined: the provider wants none. */
  key?: string
  /** Further headers with secrets in them. */
  headers: Record<string, string>
}

/** What an agent has in place of every key: see `Egress.admit`. */
export const TASK_TOKEN = /\blse-task-[0-9a-z]{26}-\d{1,15}-[0-9a-f]{64}\b/g

/** Why something was not let through. */
export const REFUSAL_REASONS = ['token', 'policy', 'address', 'port', 'unresolved', 'unreachable', 'malformed', 'busy'] as const
export const EgressRefusal = z.object({
  /** Host and port as the agent wrote them: data. Never a path, a query or a header. */
  host: z.string().max(300),
  reason: z.enum(REFUSAL_REASONS),
  /** How often since it was last told. */
  count: z.int().positive(),
})
export type EgressRefusal = z.infer<typeof EgressRefusal>

/** One execution of a task: what a token is for. */
export interface Admitted { taskId: TaskId; claim: number }

/** What an execution is let through for, until when. */
export interface Admission extends Admitted {
  /** The proxy's: where `open` made sure of it. */
  address: string
  /** Default: the deployment's. Never more than the deployment allows. */
  network?: Network | undefined
  /** Unix ms: after that the token is worth nothing, whatever became of the task. */
  expiresAt: number
}

/** The way out of a place's agents, as a worker uses it: one proxy for each address, which outlives workers. */
export interface Egress {
  /** Makes sure that the proxy answers on this address of the host; resolves to its origin. @throws TaskFailure when nobody can */
  open(address: string): Promise<string>
  /** The token of an execution; one that it had before is worth nothing any more. */
  admit(admission: Admission): Promise<string>
  /** Makes the token of an execution worthless and cuts off what it has open; idempotent. @throws when that may not have happened */
  revoke(execution: Admitted): Promise<void>
  /** What was refused to an execution since it was last asked for. */
  refusals(execution: Admitted): Promise<EgressRefusal[]>
  /** Ends the proxies that no execution needs any more. */
  close(): Promise<void>
}

import type { TaskId } from '@longshore/contracts'

/**
 * Every key and channel of the ledger is spelled here and nowhere else. All begin with `{ls:<deployment>}:`,
 * one hash slot, so that a script may touch several. The scripts get `prefix` and build the same names (see script.ts).
 */
export interface Keys {
  prefix: string
  /** HASH: the record. */
  task(id: TaskId): string
  /** LIST: the event log; element i is seq `base + i + 1`. */
  log(id: TaskId): string
  /** LIST: messages that wait for the agent, oldest first: `<message id> <JSON>`. */
  mail(id: TaskId): string
  /** LIST: those that the agent of this attempt has. */
  told(id: TaskId): string
  /** HASH: what the agent of this attempt asked (input-scripts.ts). */
  inputs(id: TaskId): string
  /** SET: those of them that are open and for which it waits. */
  waits(id: TaskId): string
  /** ZSET by the time after which nobody will answer: `<task id> <input id>`. */
  expiring: string
  /** STREAM: (task, seq, type) of every event of the deployment. */
  fleet: string
  /** ZSET by created_at: every task. */
  tasks: string
  /** ZSET by created_at: the tasks of one agent. */
  agent(agentId: string): string
  /** SET: tasks that are not over. */
  live: string
  /** ZSET by due time: ticket ids that the queue has not confirmed. */
  pending: string
  /** LIST: who has a named workspace of an agent, and who waits for it. */
  line(agentId: string, name: string): string
  /** HASH: by line, the storage on which its workspace is. */
  homes: string
  /** ZSET by end: tasks that are over and may have left something running. */
  debts: string
  /** ZSET by end: tasks that ended because they cost their workers their lives, and that nobody replayed. */
  poisoned: string
  /** ZSET by end: tasks that are over and of which the blob store is to have everything. */
  keeps: string
  /** ZSET by end: tasks of which it has. */
  kept: string
  /** STRING with a TTL: who does something that one alone is to do. */
  lease(what: string): string
  /** HASH: which deployment this is and since when (G10). */
  identity: string
  /** HASH: tasks per state. */
  counts: string
  /** HASH: `<agent> <profile> <mode> <metric>` of a day, numbered since 1970. */
  usage(day: number): string
  /** HASH: `<agent> tokens`, `<agent> cost_micros` of a day: what budgets are held against. */
  spent(day: number): string
  /** STRING with a TTL: task id and input fingerprint of an idempotency key. */
  idempotency(agentId: string, keyHash: string): string
  /** STRING with a TTL: what became of a named wish (script.ts). */
  wish(name: string): string
  /** LIST, newest first: what people did from chats (audit.ts). */
  audit: string
  /** HASH sha256 → JSON. */
  apiKeys: string
  /** Channel: something about this task, or with `fleet` about any, is new. */
  bell(topic: string): string
}

export function keysOf(deployment: string): Keys {
  const prefix = `{ls:${deployment}}:`
  return {
    prefix,
    task: (id) => `${prefix}task:${id}`,
    log: (id) => `${prefix}log:${id}`,
    mail: (id) => `${prefix}mail:${id}`,
    told: (id) => `${prefix}told:${id}`,
    inputs: (id) => `${prefix}inputs:${id}`,
    waits: (id) => `${prefix}waits:${id}`,
    expiring: `${prefix}expiring`,
    fleet: `${prefix}fleet`,
    tasks: `${prefix}tasks`,
    agent: (agentId) => `${prefix}agent:${agentId}`,
    live: `${prefix}live`,
    pending: `${prefix}pending`,
    line: (agentId, name) => `${prefix}line:${agentId}:${name}`,
    homes: `${prefix}homes`,
    debts: `${prefix}debts`,
    poisoned: `${prefix}poisoned`,
    keeps: `${prefix}keeps`,
    kept: `${prefix}kept`,
    lease: (what) => `${prefix}lease:${what}`,
    identity: `${prefix}identity`,
    counts: `${prefix}counts`,
    usage: (day) => `${prefix}usage:${day}`,
    spent: (day) => `${prefix}spent:${day}`,
    idempotency: (agentId, keyHash) => `${prefix}idem:${agentId}:${keyHash}`,
    wish: (name) => `${prefix}wish:${name}`,
    audit: `${prefix}audit`,
    apiKeys: `${prefix}apikeys`,
    bell: (topic) => `${prefix}bell:${topic}`,
  }
}

import { z } from 'zod'

/** `task-` and 26 of `[0-9a-z]` (130 bits): a name, not a capability. Valid as a file name and as a BullMQ job id. */
export const TaskId = z
  .string()
  .regex(/^task-[0-9a-z]{26}$/, 'a task id is "task-" followed by 26 characters of 0-9a-z')
export type TaskId = z.infer<typeof TaskId>

/** The caller's name, bound to its API key. Letta's `agent-<uuid>` fits. */
export const AgentId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'an agent id is 1 to 128 of A-Z a-z 0-9 . _ - and begins with a letter or digit')
export type AgentId = z.infer<typeof AgentId>

/** A ULID. Its order says nothing: `seq` does. */
export const EventId = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/, 'an event id is a ULID')
export type EventId = z.infer<typeof EventId>

/** A deployment's name: part of every Redis key and of every container label. */
export const DeploymentId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'a deployment id is 1 to 40 of a-z 0-9 - and begins with a letter or digit')
export type DeploymentId = z.infer<typeof DeploymentId>

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'

/** A fresh task id; `bytes` must be at least 52 random bytes (two per character keep the bias under 0.1 %). */
export function taskIdFrom(bytes: Uint8Array): TaskId {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const characters = Array.from({ length: 26 }, (_, i) => ALPHABET.charAt(view.getUint16(i * 2) % ALPHABET.length))
  return `task-${characters.join('')}`
}

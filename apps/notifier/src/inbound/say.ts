import type { Outbox } from '../outbox/outbox.ts'

/** Puts an answer where it is not lost, and once (G8); sending comes later. */
export type Say = (reply: Parameters<Outbox['say']>[0]) => Promise<unknown>

import { z } from 'zod'

/** Which backend runs a task: chosen once, at submission, stamped on the task. */
export const MODES = ['docker', 'opencode'] as const
export const Mode = z.enum(MODES)
export type Mode = z.infer<typeof Mode>

/** How far a place separates a task from its host and from other tasks; strongest first. See docs/security.md. */
export const ISOLATIONS = ['container', 'process', 'shared'] as const
export const Isolation = z.enum(ISOLATIONS)
export type Isolation = z.infer<typeof Isolation>

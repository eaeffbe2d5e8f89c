import { z } from 'zod'

/**
 * How far a session has been mirrored into the task's log (G5): the last part that was touched, how many of its characters
 * are in the log (null: all of it), and the snapshot up to which file changes are in the log.
 */
export const Position = z.object({ part: z.string(), offset: z.int().nonnegative().nullable(), tree: z.string() })
export type Position = z.infer<typeof Position>

export function formatPosition(position: Position): string {
  return JSON.stringify(position)
}

/** The stored position; undefined when it is none of ours. */
export function parsePosition(text: string | undefined): Position | undefined {
  if (text === undefined) return undefined
  try {
    return Position.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

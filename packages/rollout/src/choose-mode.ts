import { createHash } from 'node:crypto'

import type { Mode } from '@longshore/contracts'
import { z } from 'zod'

/** How tasks are split between the modes. */
export const RolloutPolicy = z.object({
  v: z.literal(1),
  /** Share of sticky keys that run in OpenCode mode, 0 to 100. */
  opencode_percent: z.number().min(0).max(100),
  /** Made once per deployment and never changed: another salt would reshuffle every key. */
  salt: z.string().min(1),
  /** Redis TIME in ms; 0 while the start value holds. */
  updated_at: z.int().nonnegative(),
  updated_by: z.string(),
})
export type RolloutPolicy = z.infer<typeof RolloutPolicy>

/**
 * Chooses a task's mode: once, at submission. An explicit mode wins.
 * Deterministic: the same salt and key stand at the same position in every process; monotone: raising the share
 * only ever moves keys from docker to opencode.
 * @param options.stickyKey what keeps its mode while the share stands still: the agent's id by default
 */
export function chooseMode(options: { policy: RolloutPolicy; stickyKey: string; explicit?: Mode | undefined }): Mode {
  if (options.explicit !== undefined) return options.explicit
  return positionOf(options.policy.salt, options.stickyKey) < options.policy.opencode_percent ? 'opencode' : 'docker'
}

/** A key's place in [0, 100): 48 bits of SHA-256, so that a share of a ten-thousandth of a percent still means something. */
function positionOf(salt: string, stickyKey: string): number {
  const digest = createHash('sha256').update(`${salt}\n${stickyKey}`).digest()
  return (digest.readUIntBE(0, 6) / 2 ** 48) * 100
}

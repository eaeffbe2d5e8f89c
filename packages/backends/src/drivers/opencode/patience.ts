import type { StallLimits } from './stall.ts'

/** How a server is watched besides its events; durations in ms. */
export interface Patience extends StallLimits {
  lookEveryMs: number
  /** Between two looks at a server that did not answer. */
  retryDelayMs: number
  /** A server that does not answer for this long, although its place is alive, is away or wedged. */
  unreachableMs: number
}

/** The defaults of OPENCODE_SERVER_HEALTH_CHECK_INTERVAL_MS, …_RETRY_DELAY_MS and …_MAX_RETRIES times that, STALL_MS and STALL_TOOL_MS. */
export const DEFAULT_PATIENCE: Patience = { lookEveryMs: 5_000, retryDelayMs: 1_000, unreachableMs: 60_000, stallMs: 300_000, stallToolMs: 1_800_000 }

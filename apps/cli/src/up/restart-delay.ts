/** A program that ran this long was healthy: its end counts as the first failure again. */
export const STEADY_MS = 30_000
/** The 5th failure in a row is the last: about 4 s of trying. */
const MAX_FAILURES = 5
const FIRST_MS = 250

/**
 * How long to wait before a program is started again, in ms: doubling, so that a short outage costs little.
 * @param failures in a row, from 1
 * @returns undefined when it is hopeless
 */
export function restartDelayMs(failures: number): number | undefined {
  return failures >= MAX_FAILURES ? undefined : FIRST_MS * 2 ** (failures - 1)
}

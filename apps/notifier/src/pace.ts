/** Wait before try number `n` (from 1) after a fault: 0.25 s doubling to 15 s, with `random` (0 to 1) taking off up to a quarter. */
export function backoffMs(n: number, random: number): number {
  return Math.min(250 * 2 ** Math.min(n - 1, 10), 15_000) * (1 - random / 4)
}

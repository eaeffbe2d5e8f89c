import process from 'node:process'

/** Chance that can be repeated: the soak runner gives each run a seed and writes it down. */
export interface Chance {
  readonly seed: number
  /** A whole number of these bounds, both included. */
  between(least: number, most: number): number
}

/** Without a soak every run is seeded anew, and says with what when a test fails. */
export function createChance(seed = Number(process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 31))): Chance {
  let state = seed >>> 0
  // mulberry32: small, and good enough to spread the points of a kill.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { seed, between: (least, most) => least + Math.floor(next() * (most - least + 1)) }
}

import type { Writable } from 'node:stream'

/** Whether everything written was taken within `stallMs`. */
export function untilDrained(out: Writable, stallMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (isTaken: boolean) => {
      clearTimeout(timer)
      out.off('drain', onDrain).off('close', onClose)
      resolve(isTaken)
    }
    const onDrain = () => done(true)
    // Whoever is gone needs no last words.
    const onClose = () => done(true)
    const timer = setTimeout(() => done(false), stallMs)
    out.on('drain', onDrain).on('close', onClose)
  })
}

import { setTimeout as sleep } from 'node:timers/promises'

/** From the end of the last piece of work to the blocking wait for the next one there is a round trip to Redis or two. */
const SETTLE_MS = 10

/** Resolves when nothing runs any more and the worker waits for work again. */
export async function whenIdle(isRunning: () => boolean): Promise<void> {
  while (isRunning()) await sleep(1)
  await sleep(SETTLE_MS)
}

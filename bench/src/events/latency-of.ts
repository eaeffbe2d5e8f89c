import type { Redis } from 'ioredis'

import { openLog } from './log-writer.ts'
import type { OnNews, Subscriber } from './subscribers.ts'

/** One way from whoever writes to whoever is told. */
export interface Way {
  what: string
  /** What its ratio to the bare ones is to be; absent for those. */
  aim?: string
  /** Sends one, and resolves when it has arrived. In ms, from the call that sends. */
  once(): Promise<number>
  close(): void
}

const CHANNEL = 'bench:bare'
const STREAM = 'bench:bare-stream'
const TEXT = 'x'.repeat(80)

/** A message of pub/sub from one connection to another. */
export async function barePublish(writer: Redis, listener: Redis): Promise<Way> {
  let arrived = Promise.withResolvers<void>()
  await listener.subscribe(CHANNEL)
  listener.on('message', () => arrived.resolve())
  return {
    what: 'bare PUBLISH',
    async once() {
      arrived = Promise.withResolvers()
      const begun = performance.now()
      await Promise.all([writer.publish(CHANNEL, TEXT), arrived.promise])
      return performance.now() - begun
    },
    close: () => listener.disconnect(),
  }
}

/** An entry of a stream, read by a blocked XREAD on another connection. */
export function bareStream(writer: Redis, reader: Redis): Way {
  let last = '$'
  return {
    what: 'bare XADD + XREAD',
    async once() {
      const reading = reader.xread('BLOCK', 5_000, 'STREAMS', STREAM, last)
      // The reader must be blocked before the entry comes.
      await writer.ping()
      const begun = performance.now()
      const [, found] = await Promise.all([writer.xadd(STREAM, 'MAXLEN', '~', 1_000, '*', 'text', TEXT), reading])
      const took = performance.now() - begun
      last = found?.[0]?.[1].at(-1)?.[0] ?? last
      return took
    },
    close: () => reader.disconnect(),
  }
}

/** What the append alone takes: log, global log, record and bell in one step, on the disk. */
export async function appendAlone(writer: Redis): Promise<Way> {
  const log = await openLog(writer)
  return {
    what: 'append alone',
    async once() {
      const begun = performance.now()
      await log.append([TEXT])
      return performance.now() - begun
    },
    close: () => undefined,
  }
}

/** From the call that appends to a task's log, to a subscriber of the gateway. */
export async function throughGateway(what: string, aim: string, writer: Redis, subscribe: (taskId: string, onNews: OnNews) => Promise<Subscriber>): Promise<Way> {
  const log = await openLog(writer)
  let arrived = Promise.withResolvers<void>()
  const subscriber = await subscribe(log.taskId, () => arrived.resolve())
  return {
    what, aim,
    async once() {
      arrived = Promise.withResolvers()
      const begun = performance.now()
      const late = setTimeout(() => arrived.reject(new Error(`${what}: nothing arrived`)), 10_000)
      await Promise.all([log.append([TEXT]), arrived.promise])
      clearTimeout(late)
      return performance.now() - begun
    },
    close: () => subscriber.close(),
  }
}

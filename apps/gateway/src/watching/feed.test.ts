import { Buffer } from 'node:buffer'

import { expect, test } from 'vitest'

import { createFeeds, type FramePage } from './feed.ts'

const page = (cursor: string): FramePage => ({ bytes: Buffer.from(cursor), cursor, isMore: false, isLast: false })

/** A bell that rings by hand. */
function bells() {
  const rings = new Map<string, () => void>()
  let closed = 0
  const listen = (topic: string) => {
    let rang = Promise.withResolvers<void>()
    rings.set(topic, () => rang.resolve())
    return Promise.resolve({
      async next(_: number, signal?: AbortSignal) {
        signal?.addEventListener('abort', () => rang.resolve())
        await rang.promise
        rang = Promise.withResolvers()
      },
      close: () => Promise.resolve(void closed++),
    })
  }
  return { listen, ring: (topic: string) => rings.get(topic)?.(), listening: rings, closed: () => closed }
}

test('a thousand readers who stand at the same place are served by one read', async () => {
  let reads = 0
  const join = createFeeds({ doorbell: bells(), pollMs: 60_000, read: (_, cursor) => Promise.resolve(page(`${cursor}+${reads++}`)) })
  const feeds = Array.from({ length: 1_000 }, () => join('task', () => undefined))
  const pages = await Promise.all(feeds.map((feed) => feed.page('7')))
  expect(reads).toBe(1)
  expect(new Set(pages.map(({ bytes }) => bytes)).size).toBe(1)
  for (const feed of feeds) feed.leave()
})

test('what is being read when the bell rings is read again by who asks after the ring', async () => {
  const doorbell = bells()
  const answers: ((page: FramePage) => void)[] = []
  const rung = Promise.withResolvers<void>()
  let wakes = 0
  const join = createFeeds({ doorbell, pollMs: 60_000, read: () => new Promise((resolve) => answers.push(resolve)) })
  const feed = join('task', () => { if (++wakes === 2) rung.resolve() })
  const early = feed.page('7')
  doorbell.ring('task')
  await rung.promise
  const late = feed.page('7')
  expect(answers).toHaveLength(2)
  answers[0]?.(page('old'))
  answers[1]?.(page('new'))
  expect([(await early).cursor, (await late).cursor]).toEqual(['old', 'new'])
  feed.leave()
})

test('the bell is listened to once per log, and let go with the last reader', async () => {
  const doorbell = bells()
  const join = createFeeds({ doorbell, pollMs: 60_000, read: (_, cursor) => Promise.resolve(page(cursor)) })
  const closed = () => new Promise<number>((resolve) => { setImmediate(() => resolve(doorbell.closed())) })
  const [one, two] = [join('task', () => undefined), join('task', () => undefined)]
  expect(doorbell.listening.size).toBe(1)
  one.leave()
  one.leave()
  expect(await closed()).toBe(0)
  two.leave()
  expect(await closed()).toBe(1)
})

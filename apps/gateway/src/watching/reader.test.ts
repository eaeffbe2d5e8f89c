import { Buffer } from 'node:buffer'
import { Writable } from 'node:stream'

import { waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import type { FramePage, JoinFeed } from './feed.ts'
import { startReader } from './reader.ts'

/** A log of `pages` pages; the cursor is the number of the page. */
function aLog(pages: number) {
  const asked: string[] = []
  const wakes = new Set<() => void>()
  let generation = 0
  let length = pages
  const join: JoinFeed = (_, wake) => {
    wakes.add(wake)
    return {
      generation: () => generation,
      page: (cursor): Promise<FramePage> => {
        asked.push(cursor)
        const next = Math.min(Number(cursor) + 1, length)
        return Promise.resolve({ bytes: Buffer.from(next > Number(cursor) ? `page ${next}\n` : ''), cursor: String(next), isMore: next < length, isLast: false })
      },
      leave: () => void wakes.delete(wake),
    }
  }
  const grow = () => {
    length++
    generation++
    wakes.forEach((wake) => wake())
  }
  return { asked, join, grow, isFollowed: () => wakes.size > 0 }
}

/** A connection whose other side takes what it is told to take. */
function aConnection(takes: number) {
  const got: string[] = []
  const held: (() => void)[] = []
  const out = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _, done) {
      got.push(chunk.toString())
      if (got.length <= takes) done()
      else held.push(done)
    },
  })
  return { out, got, take: () => held.splice(0).forEach((done) => done()) }
}

const options = { topic: 't', cursor: '0', stallMs: 60_000, onError: () => undefined }

test('who takes nothing is read one page for, and the rest once that was taken', async () => {
  const [log, { out, got, take }] = [aLog(50), aConnection(0)]
  startReader({ ...options, join: log.join, out })
  await waitFor(() => got.length === 1, { what: 'the first page' })
  log.grow()
  log.grow()
  expect(log.asked).toEqual(['0'])
  expect(out.writableLength).toBe('page 1\n'.length)
  take()
  await waitFor(() => got.length === 2, { what: 'the second page' })
  expect(log.asked).toEqual(['0', '1'])
})

test('what comes while a page is being read is read, too', async () => {
  const [log, { out, got }] = [aLog(1), aConnection(100)]
  startReader({ ...options, join: log.join, out })
  for (let i = 2; i < 20; i++) {
    log.grow()
    await waitFor(() => got.length === i, { what: `page ${i}`, everyMs: 1 })
  }
  expect(got).toEqual(Array.from({ length: 19 }, (_, i) => `page ${i + 1}\n`))
})

test('heartbeats are not heaped up before a reader that takes nothing', async () => {
  const [log, { out, got }] = [aLog(2), aConnection(0)]
  const reader = startReader({ ...options, join: log.join, out })
  await waitFor(() => got.length === 1, { what: 'the first page' })
  for (let i = 0; i < 100; i++) reader.remark(Buffer.from(': \n\n'))
  expect(out.writableLength).toBe('page 1\n'.length)
})

test('a page that cannot be read is tried again at the next wake, and nothing is skipped', async () => {
  const [log, { out, got }] = [aLog(3), aConnection(100)]
  const errors: unknown[] = []
  let isAway = true
  const join: JoinFeed = (topic, wake) => {
    const feed = log.join(topic, wake)
    return { ...feed, page: (cursor) => (isAway ? Promise.reject(new Error('Connection is closed.')) : feed.page(cursor)) }
  }
  startReader({ ...options, join, out, onError: (error) => errors.push(error) })
  await waitFor(() => errors.length === 1, { what: 'the failure' })
  isAway = false
  log.grow()
  await waitFor(() => got.length === 4, { what: 'all pages' })
  expect(got.join('')).toBe('page 1\npage 2\npage 3\npage 4\n')
})

test('a connection that closed is followed no longer', async () => {
  const [log, { out }] = [aLog(1), aConnection(1)]
  startReader({ ...options, join: log.join, out })
  expect(log.isFollowed()).toBe(true)
  out.destroy()
  await waitFor(() => !log.isFollowed(), { what: 'the reader to leave' })
})

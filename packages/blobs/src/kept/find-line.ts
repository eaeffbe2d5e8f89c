import { type BlobKey, BlobFault, type BlobStore, walkOrder } from '@longshore/contracts'

import { IndexLine, parseLine } from './lines.ts'

/** Several of the longest lines: a path of 4 KiB, each byte an escape. */
const WINDOW_BYTES = 128 * 1024
const NEWLINE = 0x0a

/** Where to begin to read the index, so that no line from `order` on is missed: lines are sorted, so a few looks find it among a million. */
export async function findLine(store: BlobStore, key: BlobKey, bytes: number, order: string): Promise<number> {
  let [low, high] = [0, bytes]
  while (high - low > WINDOW_BYTES) {
    const middle = low + Math.floor((high - low) / 2)
    const found = await lineAfter(store, key, middle)
    if (found === undefined || found.start >= high) break
    if (walkOrder(found.line.name) < order) low = found.start
    else high = found.start
  }
  return low
}

/** The first line that begins behind `position`. */
async function lineAfter(store: BlobStore, key: BlobKey, position: number): Promise<{ start: number; line: IndexLine } | undefined> {
  const window = await bytesOf(store, key, position, position + WINDOW_BYTES)
  const begin = window.indexOf(NEWLINE) + 1
  const end = window.indexOf(NEWLINE, begin)
  return begin === 0 || end < 0 ? undefined : { start: position + begin, line: parseLine(IndexLine, window.subarray(begin, end)) }
}

async function bytesOf(store: BlobStore, key: BlobKey, start: number, end: number): Promise<Buffer> {
  const found = await store.get(key, { start, end })
  if (found === undefined) throw new BlobFault('unavailable', `the blob ${key} is gone`)
  const pieces: Uint8Array[] = []
  for await (const piece of found.content) pieces.push(piece)
  return Buffer.concat(pieces)
}

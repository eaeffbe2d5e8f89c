import { StringDecoder } from 'node:string_decoder'

/** A piece of a container's output; `end` counts the bytes of all output up to its last. */
export interface Piece { stream: 'stdout' | 'stderr'; text: string; end: number }

const HEADER_BYTES = 8
const STDERR = 2

/**
 * Takes the engine's multiplexed log apart. No piece lies on both sides of byte `mark`: what ends there or before was an earlier
 * reader's, and a character which that one had only half of comes out whole behind it.
 */
export function createDemultiplexer(mark: number): { push(chunk: Buffer): Piece[] } {
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  let rest: Buffer = Buffer.alloc(0)
  let stream: Piece['stream'] = 'stdout'
  let left = 0
  let read = 0

  function take(bytes: Buffer): Piece[] {
    left -= bytes.length
    const cut = Math.max(0, Math.min(bytes.length, mark - read))
    return [bytes.subarray(0, cut), bytes.subarray(cut)].flatMap((part) => {
      read += part.length
      const text = decoders[stream].write(part)
      return text === '' ? [] : [{ stream, text, end: read }]
    })
  }

  return {
    push: (chunk) => {
      const pieces: Piece[] = []
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        if (left === 0) {
          if (rest.length < HEADER_BYTES) return pieces
          stream = rest[0] === STDERR ? 'stderr' : 'stdout'
          left = rest.readUInt32BE(4)
          rest = rest.subarray(HEADER_BYTES)
        }
        // As the engine wrote it, a line or 16 KiB of one: whoever looks for secrets does not find one that is cut where a read ended.
        if (rest.length < left) return pieces
        const bytes = rest.subarray(0, left)
        rest = rest.subarray(left)
        pieces.push(...take(bytes))
      }
    },
  }
}

import { expect, test } from 'vitest'
import { createDemultiplexer } from './demultiplex.ts'

function frame(kind: number, text: string | Buffer): Buffer {
  const payload = Buffer.from(text)
  const header = Buffer.alloc(8)
  header[0] = kind
  header.writeUInt32BE(payload.length, 4)
  return Buffer.concat([header, payload])
}
const LOG = Buffer.concat([frame(1, 'aä'), frame(2, 'oops'), frame(1, ''), frame(1, Buffer.from('😀').subarray(0, 2)), frame(1, Buffer.from('😀').subarray(2))])
const join = (pieces: { stream: string; text: string }[], stream: string): string => pieces.filter((one) => one.stream === stream).map((one) => one.text).join('')

test('output comes out whole however it is cut', () => {
  for (let size = 1; size <= LOG.length; size += 1) {
    const log = createDemultiplexer(0)
    const pieces = []
    for (let i = 0; i < LOG.length; i += size) pieces.push(...log.push(LOG.subarray(i, i + size)))
    expect(join(pieces, 'stdout')).toBe('aä😀')
    expect(join(pieces, 'stderr')).toBe('oops')
    expect(pieces.at(-1)?.end).toBe(11)
  }
})

test('who goes on at any byte has each character once', () => {
  for (let end = 0; end <= 11; end += 1) {
    const before = createDemultiplexer(end).push(LOG).filter((one) => one.end <= end)
    const after = createDemultiplexer(end).push(LOG).filter((one) => one.end > end)
    expect(join([...before, ...after], 'stdout')).toBe('aä😀')
    expect(join([...before, ...after], 'stderr')).toBe('oops')
  }
})

test('G14: a line is one piece, wherever a read ended', () => {
  for (let size = 1; size <= 20; size += 1) {
    const log = createDemultiplexer(0)
    const bytes = frame(1, 'my secret\n')
    expect([bytes.subarray(0, size), bytes.subarray(size)].flatMap((part) => log.push(part)).map(({ text }) => text)).toEqual(['my secret\n'])
  }
})

import { expect, test } from 'vitest'
import { mediaTypeOf, toContent } from './file-content.ts'

const bytes = (...parts: number[]): Buffer => Buffer.from(parts)

test.each([
  ['ascii', Buffer.from('abc'), 'abc', 3], ['a cut two', bytes(0x61, 0xc3), 'a', 1], ['a cut three', bytes(0x61, 0xe2, 0x82), 'a', 1], ['a cut four', bytes(0x61, 0xf0, 0x9f, 0x98), 'a', 1],
  ['whole ones', Buffer.from('ä€😀'), 'ä€😀', 9], ['a byte order mark', bytes(0xef, 0xbb, 0xbf, 0x61), '\uFEFFa', 4],
])('text ends where a character ends: %s', (_, given, content, count) => {
  expect(toContent(given, 'auto', false)).toEqual({ content, encoding: 'text', bytes: count, lossy: false })
})

test('what is not UTF-8, or cut at the very end of the file, or holds NUL, is base64, or text with marks when that was asked for', () => {
  for (const given of [bytes(0x61, 0xff), bytes(0x80, 0x61), bytes(0x61, 0)]) expect(toContent(given, 'auto', false)).toMatchObject({ encoding: 'base64', content: given.toString('base64'), bytes: 2 })
  expect(toContent(bytes(0x61, 0xc3), 'auto', true)).toMatchObject({ encoding: 'base64', bytes: 2 })
  expect(toContent(bytes(0x61, 0xff), 'text', true)).toEqual({ content: 'a\uFFFD', encoding: 'text', bytes: 2, lossy: true })
  expect(toContent(bytes(0x61, 0), 'text', true)).toEqual({ content: 'a\0', encoding: 'text', bytes: 2, lossy: false })
  expect(toContent(Buffer.from('abc'), 'base64', true)).toMatchObject({ content: 'YWJj', encoding: 'base64' })
})

test('any slice of four bytes gets on', () => {
  const text = Buffer.from('aä€😀'.repeat(3))
  for (let at = 0; at < text.length;) {
    const { bytes: taken, encoding } = toContent(text.subarray(at, at + 4), 'auto', at + 4 >= text.length)
    expect([taken > 0, encoding]).toEqual([true, 'text'])
    at += taken
  }
})

test('a type is told from the first bytes, and text is never one that is rendered', () => {
  expect(mediaTypeOf('89504e470d0a1a0a0000', 'base64')).toBe('image/png')
  expect(mediaTypeOf('00', 'base64')).toBe('application/octet-stream')
  expect(mediaTypeOf(Buffer.from('<html>').toString('hex'), 'text')).toBe('text/plain; charset=utf-8')
})

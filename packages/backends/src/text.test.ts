import { describe, expect, test } from 'vitest'
import { clip, piecesOf, redactor } from './text.ts'

describe('text that goes into events', () => {
  test('is cut by the bytes of its JSON form, never inside a character', () => {
    expect(clip('abcdef', 3)).toBe('abc…')
    expect(clip('abc', 3)).toBe('abc')
    expect(clip('😀😀', 5)).toBe('😀…')
    expect(clip('\u0000\u0000', 6)).toBe('\u0000…')
  })

  test('comes in pieces that add up to it', () => {
    const text = 'ä😀\n'.repeat(500)
    const pieces = piecesOf(text, 100)
    expect(pieces.join('')).toBe(text)
    for (const piece of pieces) expect(Buffer.byteLength(JSON.stringify(piece)) - 2).toBeLessThanOrEqual(100)
  })

  test('half a character alone does not stop it', () => {
    expect(piecesOf('\uD83D', 2)).toEqual(['\uFFFD'])
  })

  test('carries no known secret', () => {
    expect(redactor(['sk-1234567890', 'abc'])('key sk-1234567890, abc')).toBe('key [redacted], abc')
    expect(redactor(['sk-12345', 'sk-1234567890'])('sk-1234567890')).toBe('[redacted]')
  })

  test('G14: does not end with the beginning of a secret that was cut', () => {
    const clean = redactor(['sk-1234567890'])
    const token = `lse-task-${'a'.repeat(26)}-1-${'0'.repeat(64)}`
    for (const secret of ['sk-1234567890', token]) {
      for (let bytes = 4; bytes < secret.length; bytes += 1) expect(clean(clip(`the key is ${secret}`, 11 + bytes))).toBe('the key is [redacted]…')
    }
    expect(clean(clip('the key is what it is', 12))).toBe('the key is w…')
  })

  test('G14: of text that grows, what may become a secret waits', () => {
    const { clearOf } = redactor(['sk-1234567890', 'abcdXabcd'])
    expect(['all clear', 'it is sk-12345', 'it is sk-12345, or not', 'it is abcdXabcd', 'so it is tool', 'a lse-task-abc', 'half of \uD83D'].map((text) => text.slice(0, clearOf(text))))
      .toEqual(['all clear', 'it is ', 'it is sk-12345, or not', 'it is ', 'so it is tool', 'a ', 'half of '])
  })
})

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
})

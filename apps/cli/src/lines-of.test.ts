import { expect, test } from 'vitest'

import { linesOf } from './lines-of.ts'

async function* pieces(...all: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all
}

async function linesIn(content: AsyncGenerator<Uint8Array>): Promise<string[]> {
  const found: string[] = []
  for await (const line of linesOf(content)) found.push(line)
  return found
}

test('lines are whole however the text is cut, and what is no UTF-8 is marked', async () => {
  const text = Buffer.from('é one\n\ntwo \xFF\nthree')
  for (let at = 0; at <= text.length; at += 1) {
    expect(await linesIn(pieces(text.subarray(0, at), text.subarray(at)))).toEqual(text.toString().split('\n'))
  }
  expect(await linesIn(pieces(Buffer.from([0x61, 0xFF, 0x0A])))).toEqual(['a\uFFFD'])
})

test('10 MB in one line come in lines that can be held, and nothing of it is lost', async () => {
  const found = (await linesIn(pieces(...Array.from({ length: 160 }, () => Buffer.alloc(65_536, 'x')), Buffer.from('\nend')))).map((line) => line.length)
  expect(found.at(-1)).toBe(3)
  expect(found.slice(0, -1).reduce((sum, length) => sum + length, 0)).toBe(160 * 65_536)
  expect(Math.max(...found)).toBeLessThan(1_200_000)
})

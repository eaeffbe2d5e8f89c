import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { walkOrder } from '@longshore/contracts'

import { openSharedDirectory } from '../shared-directory.ts'
import { findLine } from './find-line.ts'
import { IndexLine, linesOf, toLine } from './lines.ts'

const KEY = 'task-1.e1.index'

test('a line is found among many by a few looks, however long the names are and whatever is in them', async () => {
  const root = await mkdtemp(join(tmpdir(), 'longshore-lines-'))
  try {
    const store = openSharedDirectory(root)
    // Now and then one that is as long as a name can be, and six bytes of JSON each.
    const names = Array.from({ length: 20_000 }, (_, i) => `d${i % 13}/${String(i).padStart(6, '0')}${i % 997 === 0 ? '\u0001'.repeat(4_000) : '\n\u00ff'}`)
    names.sort((a, b) => (walkOrder(a) < walkOrder(b) ? -1 : 1))
    const { bytes } = await store.put(KEY, (async function* () {
      for (const name of names) yield toLine({ name, type: 'file' })
    })())
    let looks = 0
    const counting: typeof store = { ...store, get: (...args) => {
      looks += 1
      return store.get(...args)
    } }
    const first = async (order: string): Promise<string | undefined> => {
      const found = await store.get(KEY, { start: await findLine(counting, KEY, bytes, order), end: bytes })
      if (found === undefined) throw new Error('the index is gone')
      for await (const { name } of linesOf(IndexLine, found.content)) if (walkOrder(name) >= order) return name
      return undefined
    }
    for (let i = 0; i < names.length; i += 331) {
      expect(await first(walkOrder(names[i] ?? ''))).toBe(names[i])
      expect(await first(`${walkOrder(names[i] ?? '')}\0`)).toBe(names[i + 1])
    }
    expect(await first('')).toBe(names[0])
    expect(await first('\u00ff')).toBeUndefined()
    expect(looks / (2 * Math.ceil(names.length / 331))).toBeLessThan(12)
  } finally {
    await rm(root, { recursive: true })
  }
})

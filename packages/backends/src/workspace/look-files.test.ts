import { expect, test } from 'vitest'
import { sortChanged } from './look-files.ts'

const NAMES = Array.from({ length: 20_000 }, (_, i) => `gone/${i}`)

test('names that need no look at the disk leave the process time for others', async () => {
  let turns = 0
  const count = (): void => {
    turns += 1
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  const { gone } = await sortChanged('/nonexistent', NAMES, new Set(), new AbortController().signal)
  clearImmediate(counting)
  expect(gone).toHaveLength(NAMES.length)
  expect(turns).toBeGreaterThan(100)
})

test('a signal ends it', async () => {
  const gone = new AbortController()
  setImmediate(() => gone.abort())
  await expect(sortChanged('/nonexistent', NAMES, new Set(), gone.signal)).rejects.toMatchObject({ name: 'AbortError' })
})

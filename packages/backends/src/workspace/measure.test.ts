import { execFile } from 'node:child_process'
import { link, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { outgrows } from './measure.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-measure-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('a folder outgrows its limit in bytes or in names; holes, links and further names of a file take no place', async () => {
  const limits = { bytes: 2_000_000, files: 20 }
  await writeFile(join(folder, 'a\nb'), Buffer.alloc(1_000_000, 1))
  await writeFile(join(folder, 'hole'), '')
  await truncate(join(folder, 'hole'), 1024 ** 4)
  await symlink('/usr', join(folder, 'away'))
  for (let i = 0; i < 10; i += 1) await link(join(folder, 'a\nb'), join(folder, `again-${i}`))
  expect(await outgrows(folder, limits)).toBeUndefined()
  await writeFile(join(folder, 'more'), Buffer.alloc(1_100_000, 1))
  expect(await outgrows(folder, limits)).toBe('more than 2000000 bytes (WORKSPACE_MAX_BYTES)')
  expect(await outgrows(folder, { ...limits, files: 10 })).toBe('more than 10 files and folders (WORKSPACE_MAX_FILES)')
  await expect(outgrows(join(folder, 'none'), limits)).rejects.toThrow('find ended')
})

test('twenty thousand names are counted no further than the limit, and hold up nobody', async () => {
  await promisify(execFile)('/bin/sh', ['-c', 'mkdir many && cd many && seq -f f%.0f 1 20000 | xargs touch'], { cwd: folder })
  const before = process.memoryUsage().rss
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 5)
  expect(await outgrows(folder, { bytes: 1e12, files: 200_000 })).toBeUndefined()
  expect(await outgrows(folder, { bytes: 1e12, files: 1_000 })).toContain('WORKSPACE_MAX_FILES')
  clearInterval(timer)
  expect(process.memoryUsage().rss - before).toBeLessThan(50_000_000)
  expect(longest).toBeLessThan(1_000)
})

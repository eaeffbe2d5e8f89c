import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { withLock } from './lock.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-lock-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('work under one lock never overlaps', async () => {
  let inside = 0
  const file = join(folder, 'lock')
  const work = (): Promise<number> =>
    withLock(file, async () => {
      const seen = ++inside
      await new Promise(setImmediate)
      inside--
      return seen
    })
  expect(await Promise.all([work(), work(), work()])).toEqual([1, 1, 1])
})

test('a failure frees the lock', async () => {
  const file = join(folder, 'lock')
  await expect(withLock(file, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await withLock(file, () => Promise.resolve('free'))).toBe('free')
})

test('a killed holder frees the lock, and not before it dies', async () => {
  const file = join(folder, 'lock')
  const script = `import { withLock } from '${import.meta.dirname}/lock.ts'
    await withLock(${JSON.stringify(file)}, () => { console.log('held'); return new Promise(() => setInterval(() => {}, 1000)) })`
  const holder = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  let isOurs = false
  const ours = withLock(file, async () => {
    isOurs = true
    await Promise.resolve()
  })
  await new Promise((resolve) => setTimeout(resolve, 150))
  expect(isOurs).toBe(false)
  holder.kill('SIGKILL')
  await ours
  expect(isOurs).toBe(true)
})

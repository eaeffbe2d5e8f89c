import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { allowedFrom, bytesOf, readProfiles } from './profiles.ts'
import { loadSettings } from './settings.ts'

let folder: string
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'longshore-profiles-')) })
afterAll(() => rm(folder, { recursive: true, force: true }))

async function read(text: string): Promise<unknown> {
  const path = join(folder, 'profiles.json')
  await writeFile(path, text)
  return readProfiles(loadSettings({ PROFILES_FILE: path }))
}

test.each([['2g', 2 * 1024 ** 3], ['512m', 512 * 1024 ** 2], ['64K', 65_536], ['1000', 1_000]])('%s is %i bytes', (text, bytes) => {
  expect(bytesOf(text)).toBe(bytes)
})

test('profiles come from the file, beside those that are built in', async () => {
  expect(Object.keys(await read('{"mine":{"driver":"command","command":["make","test"]}}') as object)).toEqual(['opencode', 'opencode-acp', 'mine'])
})

test('a file that is missing, or does not fit, stops the process with its name and the field', async () => {
  await expect(readProfiles(loadSettings({ PROFILES_FILE: '/no/such/file' }))).rejects.toThrow(/PROFILES_FILE: got "\/no\/such\/file", allowed: .*ENOENT/)
  await expect(read('{"mine":{"driver":"command"}}')).rejects.toThrow(/PROFILES_FILE: .*mine.command: missing/)
})

test('no secret of the deployment itself reaches an agent by name, neither by a profile nor by a task', async () => {
  await expect(read('{"mine":{"driver":"command","command":["env"],"env":["REDIS_URL"]}}')).rejects.toThrow(/mine.env: REDIS_URL is a secret of the deployment/)
  expect(() => loadSettings({ TASK_ENV_NAMES: 'NPM_TOKEN,MATRIX_ACCESS_TOKEN' })).toThrow(/TASK_ENV_NAMES: got "MATRIX_ACCESS_TOKEN"/)
})

test('the most that a task may ask for is what a container gets anyway, unless the operator says more', () => {
  expect(allowedFrom(loadSettings({}))).toEqual({ models: [], images: [], envNames: [], maxCpus: 2, maxMemoryMb: 2_048 })
  expect(allowedFrom(loadSettings({ TASK_MAX_CPUS: '8', TASK_MAX_MEMORY: '16g', TASK_MODELS: 'a/b, c/d' }))).toMatchObject({ models: ['a/b', 'c/d'], maxCpus: 8, maxMemoryMb: 16_384 })
})

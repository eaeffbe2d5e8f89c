import { execFileSync } from 'node:child_process'
import { chown, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { record } from '../fixtures/record.ts'
import { changesBetween, snapshot } from './changes.ts'
import { diffWorkspace } from './diff.ts'
import { startOf } from './prepare.ts'
import { openTaskFile } from './read-file.ts'
import { openStorage, type Storage, type Workspace, workspaceOf } from './storage.ts'
import { prepareFor } from './task-workspace.ts'
import { setTraps } from './testing-workspace.ts'

let root: string
let storage: Storage
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-named-'))
  storage = await openStorage(join(root, 'storage'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function next(name: string, agent_id = 'agent-a', confirm = () => Promise.resolve()): Promise<Workspace> {
  const one = record('x', { agent_id, workspace: { name } })
  await prepareFor({ storage }, one.task, { ...one.run, confirmClaim: confirm }, undefined)
  return workspaceOf(storage, one.task.id)
}

test('a task finds what the one before left, and its changes are counted from there', async () => {
  const first = await next('app')
  await writeFile(join(first.repo, 'a.txt'), 'A\n')
  const second = await next('app')
  expect(await readFile(join(second.repo, 'a.txt'), 'utf8')).toBe('A\n')
  expect(await changesBetween(second, await startOf(second), await snapshot(second))).toEqual([])
  // Whoever asks for the first one's files is told where they went.
  await expect(openTaskFile(first, 'a.txt')).rejects.toMatchObject({ code: 'file_not_found', message: expect.stringContaining('later task') as string })
  await expect(diffWorkspace(first, { maxBytes: 1_000 }, new AbortController().signal)).rejects.toMatchObject({ code: 'file_not_found' })
})

test('G11: two agents with the same name never meet', async () => {
  const mine = await next('shared')
  await writeFile(join(mine.repo, 'secret'), 'mine')
  expect(await readdir((await next('shared', 'agent-b')).repo)).toEqual(['.git'])
  expect((await readdir((await next('shared')).repo)).sort()).toEqual(['.git', 'secret'])
})

test('G7: a death at any point of the move loses nothing', async () => {
  const first = await next('mortal')
  await writeFile(join(first.repo, 'a.txt'), 'A\n')
  // Before it moved: the note is written, the folder is where it was.
  const dead = await next('mortal')
  await rename(dead.repo, first.repo)
  await rm(dead.directory, { recursive: true })
  const third = await next('mortal')
  expect(await readFile(join(third.repo, 'a.txt'), 'utf8')).toBe('A\n')
  // After it moved, before its start was known.
  await rm(join(third.control, 'baseline'))
  expect(await readFile(join((await next('mortal')).repo, 'a.txt'), 'utf8')).toBe('A\n')
})

test('G4: a worker that lost the task moves nothing', async () => {
  const first = await next('fenced')
  await expect(next('fenced', 'agent-a', () => Promise.reject(new Error('another owns it')))).rejects.toThrow('another owns it')
  expect((await lstat(first.repo)).isDirectory()).toBe(true)
})

test('G14: what an agent put into its repository is not run when the next task begins', async () => {
  const first = await next('trapped')
  const witness = join(root, 'witness')
  await setTraps(first.repo, witness)
  await next('trapped')
  expect(await readdir(root)).toEqual(['storage'])
})

test('a workspace on another storage is refused in words', async () => {
  const one = record('x', { home: 'elsewhere', workspace: { name: 'far' } })
  await expect(prepareFor({ storage }, one.task, one.run, undefined)).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('elsewhere') as string })
})

test.skipIf(process.getuid?.() !== 0)('what belonged to the last agent\'s user, and nothing else, becomes the next one\'s', async () => {
  const first = await next('given')
  await writeFile(join(first.repo, 'theirs'), '')
  await writeFile(join(first.repo, 'other'), '')
  for (const path of [first.repo, join(first.repo, 'theirs')]) await chown(path, 65_530, 65_530)
  const one = record('x', { agent_id: 'agent-a', workspace: { name: 'given' } })
  await prepareFor({ storage }, one.task, one.run, { uid: 1_000, gid: 1_000 })
  const { repo } = workspaceOf(storage, one.task.id)
  expect([(await lstat(repo)).uid, (await lstat(join(repo, 'theirs'))).uid, (await lstat(join(repo, 'other'))).uid]).toEqual([1_000, 1_000, 0])
})

test('tasks that died before they had it, however many, cost the next one nothing', async () => {
  const first = await next('stubborn')
  await writeFile(join(first.repo, 'a.txt'), 'A\n')
  for (let i = 0; i < 10; i++) {
    // Noted, and the folder never came.
    const dead = await next('stubborn')
    await rename(dead.repo, first.repo)
    await rm(dead.directory, { recursive: true })
  }
  expect(await readFile(join((await next('stubborn')).repo, 'a.txt'), 'utf8')).toBe('A\n')
})

/** Deeper than a path can be long, as a program makes it that walks down. */
function makeDeep(folder: string): void {
  execFileSync(process.execPath, ['-e', 'for (let i = 0; i < 25; i++) { fs.mkdirSync("d".repeat(200)); process.chdir("d".repeat(200)) }'], { cwd: folder })
}

test.skipIf(process.getuid?.() !== 0)('G14: a tree that is deeper than any path is given on, too', async () => {
  const first = await next('deep')
  await mkdir(join(first.repo, 'folder'))
  makeDeep(join(first.repo, 'folder'))
  execFileSync('chown', ['-R', '65530:65530', first.repo])
  const one = record('x', { agent_id: 'agent-a', workspace: { name: 'deep' } })
  await prepareFor({ storage }, one.task, one.run, { uid: 1_000, gid: 1_000 })
  const { repo } = workspaceOf(storage, one.task.id)
  expect([(await lstat(repo)).uid, (await lstat(join(repo, 'folder', 'd'.repeat(200)))).uid]).toEqual([1_000, 1_000])
  execFileSync('rm', ['-r', repo])
})

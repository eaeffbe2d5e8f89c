import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chown, link, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BlobFault, type BlobStore, packSent, type TaskWorkspace, unpackSent } from '@longshore/contracts'
import { type GitServer, startGitServer } from '@longshore/testkit'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { record, type Recorded } from '../fixtures/record.ts'
import { changesBetween, snapshot } from './changes.ts'
import { placeFiles } from './place-files.ts'
import { baselineOf, startOf } from './prepare.ts'
import { openStorage, type Storage, type Workspace, workspaceOf } from './storage.ts'
import { prepareFor } from './task-workspace.ts'
import { storeWith } from './testing-sent.ts'
import { setTraps } from './testing-workspace.ts'

type Files = readonly { path: string; content: string }[]
type Blobs = Pick<BlobStore, 'get'>

let root: string
let storage: Storage
let server: GitServer
let blobs: Blobs
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-sent-'))
  storage = await openStorage(join(root, 'storage'))
  server = await startGitServer()
})
beforeEach(() => writeFile(join(root, 'secret'), 'TOP SECRET'))
afterAll(async () => {
  await server.stop()
  await rm(root, { recursive: true, force: true })
})

/** A task with files, which are in the store. */
function taskWith(files: Files, more: TaskWorkspace = {}): Recorded {
  const made = storeWith(files)
  blobs = made.blobs
  return record('x', { workspace: { ...more, files: made.sent } })
}

async function prepare(one: Recorded, more: { blobs?: Blobs; confirm?: () => Promise<void>; owner?: { uid: number; gid: number } } = {}): Promise<Workspace> {
  const git = { allow: [server.url], credentialsFile: join(root, 'none'), timeoutMs: 60_000, limits: { bytes: 1e8, files: 1_000 } }
  await prepareFor({ storage, git, blobs: more.blobs ?? blobs }, one.task, { ...one.run, confirmClaim: more.confirm ?? (() => Promise.resolve()) }, more.owner)
  return workspaceOf(storage, one.task.id)
}

const changes = async (workspace: Workspace) => changesBetween(workspace, await startOf(workspace), await snapshot(workspace))
const read = (workspace: Workspace, path: string) => readFile(join(workspace.repo, path), 'utf8')

test('into an empty workspace: they are there, belong to the start, and the log says so', async () => {
  const one = taskWith([{ path: 'a.txt', content: 'A\n' }, { path: 'deep/er/b.txt', content: 'é' }, { path: '.gitignore', content: 'hidden\n' }, { path: 'hidden', content: 'x' }])
  const workspace = await prepare(one)
  expect([await read(workspace, 'a.txt'), await read(workspace, 'deep/er/b.txt')]).toEqual(['A\n', 'é'])
  expect(await changes(workspace)).toEqual([])
  // One that the repository would ignore counts, too.
  for (const path of ['a.txt', 'hidden']) await writeFile(join(workspace.repo, path), 'changed')
  expect(await changes(workspace)).toEqual([{ path: 'a.txt', change: 'modified' }, { path: 'hidden', change: 'modified' }])
  expect(one.events).toMatchObject([{ type: 'task.tool', payload: { tool: 'workspace', title: 'put 4 files of 12 bytes there, as sent along' } }])
  expect((await readdir(workspace.control)).filter((name) => name.startsWith('sent.'))).toEqual([])
})

test('over a clone: in place of its files; a later attempt finds what the earlier one left', async () => {
  const { url } = await server.repository('over', { 'README.md': 'theirs\n', 'src/run.sh': '#!/bin/sh\n' })
  const one = taskWith([{ path: 'README.md', content: 'mine\n' }, { path: 'src/new.ts', content: 'new\n' }], { git: { url } })
  const workspace = await prepare(one)
  expect([await read(workspace, 'README.md'), await read(workspace, 'src/new.ts'), await read(workspace, 'src/run.sh')]).toEqual(['mine\n', 'new\n', '#!/bin/sh\n'])
  expect(await changes(workspace)).toEqual([])
  expect(JSON.stringify(one.events)).toContain('; put 2 files')
  await writeFile(join(workspace.repo, 'README.md'), 'the agent\'s')
  await prepare(one, { blobs: { get: () => Promise.resolve(undefined) } })
  expect(await read(workspace, 'README.md')).toBe('the agent\'s')
})

test('into a named workspace: beside what is there, or in its place with its mode; a link out, to a file or by another name, is neither followed nor written to', async () => {
  const first = await prepare(record('x', { workspace: { name: 'app' } }))
  await mkdir(join(first.repo, 'kept'))
  await writeFile(join(first.repo, 'kept', 'a'), 'A')
  await writeFile(join(first.repo, 'tool'), 'old', { mode: 0o755 })
  await link(join(root, 'secret'), join(first.repo, 'hard'))
  const second = await prepare(taskWith([{ path: 'kept/b', content: 'B' }, { path: 'hard', content: 'mine' }, { path: 'tool', content: 'new' }], { name: 'app' }))
  expect((await readdir(join(second.repo, 'kept'))).sort()).toEqual(['a', 'b'])
  expect([await read(second, 'hard'), await readFile(join(root, 'secret'), 'utf8')]).toEqual(['mine', 'TOP SECRET'])
  expect([await read(second, 'tool'), (await stat(join(second.repo, 'tool'))).mode & 0o777]).toEqual(['new', 0o755])
  expect(await changes(second)).toEqual([])
})

test.each([
  ['a folder that is a link out', 'out/secret', (repo: string) => symlink(root, join(repo, 'out'))],
  ['a folder that is a link within', 'out/x', (repo: string) => symlink('.', join(repo, 'out'))],
  ['a file that is a link out', 'secret', (repo: string) => symlink(join(root, 'secret'), join(repo, 'secret'))],
  ['a link to nothing', 'new', (repo: string) => symlink(join(root, 'made'), join(repo, 'new'))],
  ['a file in place of a folder', 'f/x', (repo: string) => writeFile(join(repo, 'f'), '')],
  ['a folder in place of a file', 'd', (repo: string) => mkdir(join(repo, 'd'))],
])('G14: %s is in the way, and the failure names the path', async (name, path, put) => {
  const workspace = { name: name.replaceAll(/[^a-z]/g, '-') }
  const first = await prepare(record('x', { workspace }))
  await put(first.repo)
  await expect(prepare(taskWith([{ path, content: 'overwritten' }], workspace))).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining(JSON.stringify(path)) as string })
  expect(await readFile(join(root, 'secret'), 'utf8')).toBe('TOP SECRET')
  expect((await readdir(root)).sort()).toEqual(['secret', 'storage'])
})

test('G14: a clone with a link that leads out does not lead its files there', async () => {
  const { url, git, feed } = await server.repository('leads-out', { 'README.md': '' })
  const target = await feed(root, 'hash-object', '-w', '--stdin')
  const tree = await feed(`120000 blob ${target}\tout\n`, 'mktree')
  await git('update-ref', 'refs/heads/main', await git('commit-tree', '-m', 'x', tree))
  await expect(prepare(taskWith([{ path: 'out/secret', content: 'overwritten' }], { git: { url } }))).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('"out/secret"') as string })
  expect(await readFile(join(root, 'secret'), 'utf8')).toBe('TOP SECRET')
})

test('G14: what an agent put into its repository is not run when files are laid over it', async () => {
  const first = await prepare(record('x', { workspace: { name: 'trapped' } }))
  await setTraps(first.repo, join(root, 'witness'))
  await prepare(taskWith([{ path: '.gitattributes', content: '* filter=trap diff=trap\n' }, { path: 'a', content: 'A' }], { name: 'trapped' }))
  expect(await readdir(root)).not.toContain('witness')
})

test('G7: a death between two files is not taken for all of them; the next owner writes all', async () => {
  const one = taskWith([{ path: 'a', content: 'A' }, { path: 'b', content: 'B' }])
  let left = 1
  const dying = prepare(one, { confirm: () => (left-- > 0 ? Promise.resolve() : Promise.reject(new Error('killed'))) })
  await expect(dying).rejects.toThrow('killed')
  const workspace = workspaceOf(storage, one.task.id)
  expect([(await readdir(workspace.repo)).sort(), await baselineOf(workspace)]).toEqual([['.git', 'a'], undefined])
  await writeFile(join(workspace.repo, 'a'), 'half')
  await prepare(one)
  expect([await read(workspace, 'a'), await read(workspace, 'b')]).toEqual(['A', 'B'])
})

test('G7: the same for a worker that is killed at any file; nothing of its drafts is in the workspace', async () => {
  const sent = ['a', 'b/c', 'd'].map((path) => ({ path, content: `${path} whole` }))
  for (const asks of [1, 2, 3]) {
    const one = taskWith(sent)
    const workspace = workspaceOf(storage, one.task.id)
    const files = sent.map(({ path, content }) => ({ path, parts: path.split('/'), content }))
    const [code, signal] = await once(fork(new URL('testing-place.ts', import.meta.url), [JSON.stringify({ workspace, files, asks })], { stdio: 'inherit' }), 'exit') as [number | null, string]
    expect([code, signal, await baselineOf(workspace)]).toEqual([null, 'SIGKILL', undefined])
    const left = await readdir(workspace.repo, { recursive: true })
    expect(left.filter((name) => !name.startsWith('.git') && name !== 'b').sort()).toEqual(['a', 'b/c', 'd'].slice(0, asks - 1))
    await prepare(one)
    expect(await Promise.all(sent.map(({ path }) => read(workspace, path)))).toEqual(sent.map(({ content }) => content))
    expect(await changes(workspace)).toEqual([])
  }
})

test('G14: a folder that is swapped for a link out between check and use leads nothing there', async () => {
  const one = await prepare(record('x', {}))
  const [folder, elsewhere, aside] = [join(one.repo, 'd'), join(root, 'elsewhere'), join(one.repo, 'aside')]
  await mkdir(elsewhere)
  const [file] = unpackSent(packSent([{ path: 'd/a', content: 'A' }]).packed)
  const swap = async () => {
    await rename(folder, aside)
    await symlink(elsewhere, folder)
  }
  await placeFiles(one, file === undefined ? [] : [file], undefined, swap)
  expect([await readdir(elsewhere), await read(one, 'aside/a')]).toEqual([[], 'A'])
  await rm(elsewhere, { recursive: true })
})

test('G4: a worker that lost the task writes nothing over what is its agent\'s by now', async () => {
  const first = await prepare(record('x', { workspace: { name: 'fenced' } }))
  await writeFile(join(first.repo, 'a'), 'theirs')
  const one = taskWith([{ path: 'a', content: 'A' }], { name: 'fenced' })
  let asked = 0
  await expect(prepare(one, { confirm: () => (asked++ === 0 ? Promise.resolve() : Promise.reject(new Error('another owns it'))) })).rejects.toThrow('another owns it')
  expect(await read(workspaceOf(storage, one.task.id), 'a')).toBe('theirs')
})

const failing = (error: Error): Blobs => ({ get: async () => { throw error } })
test.each<[string, Blobs, string, RegExp]>([
  ['gone', { get: () => Promise.resolve(undefined) }, 'workspace', /BLOBS_DIR/],
  ['not to be read', failing(new BlobFault('unavailable', 'cannot be read')), 'storage_unavailable', /BLOBS_DIR.*cannot be read/],
  ['damaged', failing(new BlobFault('damaged', 'cut')), 'workspace', /BLOBS_DIR.*cut/],
  ['others\', though whole', storeWith([{ path: 'a', content: 'evil' }]).blobs, 'workspace', /not what was sent/],
])('files that are %s end the task in words, and its agent never starts', async (_, store, code, words) => {
  const one = taskWith([{ path: 'a', content: 'A' }])
  await expect(prepare(one, { blobs: store })).rejects.toMatchObject({ code, message: expect.stringMatching(words) as string })
  expect(await baselineOf(workspaceOf(storage, one.task.id))).toBeUndefined()
})

test('a worker without a store says so', async () => {
  const one = taskWith([{ path: 'a', content: 'A' }])
  await expect(prepareFor({ storage }, one.task, one.run, undefined)).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('BLOBS_DIR') as string })
})

test.skipIf(process.getuid?.() !== 0)('they are the agent\'s, folders included, and only they', async () => {
  const first = await prepare(record('x', { workspace: { name: 'owned' } }))
  await mkdir(join(first.repo, 'old'))
  await chown(join(first.repo, 'old'), 65_530, 65_530)
  const workspace = await prepare(taskWith([{ path: 'old/a', content: 'A' }, { path: 'new/b', content: 'B' }], { name: 'owned' }), { owner: { uid: 1_000, gid: 1_000 } })
  const owners = await Promise.all(['old/a', 'new', 'new/b', 'old'].map(async (path) => (await lstat(join(workspace.repo, path))).uid))
  expect(owners).toEqual([1_000, 1_000, 1_000, 65_530])
  expect(((await stat(join(workspace.repo, 'new/b'))).mode & 0o777).toString(8)).toBe('644')
})

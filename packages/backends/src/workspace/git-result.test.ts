import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ExecutionOutcome, type GitResult } from '@longshore/contracts'
import { type GitServer, startGitServer } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { record, type Recorded } from '../fixtures/record.ts'
import { withGitResult } from './git-result.ts'
import { openStorage, type Workspace, workspaceOf } from './storage.ts'
import { prepareFor, type WorkspaceSource } from './task-workspace.ts'
import { storeWith } from './testing-sent.ts'
import { setTraps } from './testing-workspace.ts'

const TOKEN = 'the-planted-token-0123456789'
const COMPLETED: ExecutionOutcome = { kind: 'completed', result: { output: 'done', output_truncated: false, files_changed: 1 } }

let root: string
let server: GitServer
let source: WorkspaceSource
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-git-result-'))
  server = await startGitServer({ login: { username: 'bot', password: TOKEN } })
  const credentialsFile = join(root, 'credentials.json')
  const entry = { username: 'bot', token: TOKEN, urls: [server.url], agents: ['*'] }
  await writeFile(credentialsFile, JSON.stringify({ reader: entry, bot: { ...entry, push: true } }), { mode: 0o600 })
  source = { storage: await openStorage(join(root, 'storage')), git: { allow: [server.url], credentialsFile, timeoutMs: 30_000, limits: { bytes: 10_000_000, files: 1_000 } } }
})
afterAll(async () => {
  await server.stop()
  await rm(root, { recursive: true, force: true })
})

async function begun(url: string, more: { credential?: string; push?: true } = { credential: 'bot', push: true }): Promise<{ one: Recorded; workspace: Workspace }> {
  const one = record('x', { workspace: { git: { url, ...more } } })
  await prepareFor(source, one.task, one.run, undefined)
  return { one, workspace: workspaceOf(source.storage, one.task.id) }
}

async function ended({ task, run }: Recorded): Promise<GitResult | undefined> {
  const outcome = await withGitResult(source, task, run, COMPLETED)
  return outcome.kind === 'completed' ? outcome.result.git : undefined
}

test('what a task changed is one commit on a branch of its own, the same at a second try; the agent\'s repository is not asked', async () => {
  const { url, commit, git } = await server.repository('app', { 'a.txt': 'A\n', 'gone.txt': 'x\n', 'crlf.txt': 'one\r\ntwo\r\n', '.gitattributes': 'crlf.txt text eol=crlf\n' })
  const { one, workspace } = await begun(url)
  const witness = join(root, 'witness')
  await setTraps(workspace.repo, witness)
  await rm(join(workspace.repo, 'gone.txt'))
  await writeFile(join(workspace.repo, 'a.txt'), 'B\n')
  await writeFile(join(workspace.repo, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
  const result = await ended(one)
  const branch = `longshore/${one.task.id}`
  expect(result).toEqual({ commit, branch, head: await git('rev-parse', branch) })
  expect(await git('rev-parse', `${branch}^`)).toBe(commit)
  expect((await git('diff-tree', '-r', '--name-status', commit, branch)).split('\n')).toEqual(expect.arrayContaining(['M\ta.txt', 'D\tgone.txt', 'A\trun.sh']))
  expect(await git('diff-tree', '-r', '--name-only', commit, branch)).not.toContain('crlf.txt')
  expect(await git('ls-tree', branch, 'run.sh')).toContain('100755')
  expect(await git('show', '-s', '--format=%an%n%B', branch)).toBe(`Longshore\n${one.task.title}\n\nLongshore-Task: ${one.task.id}`)
  expect(await ended(one)).toEqual(result)
  await expect(access(witness)).rejects.toThrow('ENOENT')
  expect(JSON.stringify([result, one.events])).not.toContain(TOKEN)
})

test('of files that were sent along a push holds only what the task made of them', async () => {
  const { url, commit, git } = await server.repository('sent', { 'a.txt': 'A\n', 'b.txt': 'B\n' })
  const { sent, blobs } = storeWith([{ path: 'a.txt', content: 'sent' }, { path: 'b.txt', content: 'sent' }, { path: 'changed', content: 'sent' }, { path: 'gone', content: 'sent' }, { path: 'kept', content: 'sent' }])
  const one = record('x', { workspace: { git: { url, credential: 'bot', push: true }, files: sent } })
  await prepareFor({ ...source, blobs }, one.task, one.run, undefined)
  const { repo } = workspaceOf(source.storage, one.task.id)
  await rm(join(repo, 'gone'))
  await Promise.all(['b.txt', 'changed', 'new'].map((name) => writeFile(join(repo, name), 'the agent\'s')))
  const result = await ended(one)
  expect(result).toMatchObject({ commit, branch: `longshore/${one.task.id}` })
  expect((await git('diff-tree', '-r', '--name-status', commit, String(result?.branch))).split('\n')).toEqual(['M\tb.txt', 'A\tchanged', 'A\tnew'])
})

test('without a push there is the start alone, and the server is not asked', async () => {
  const { url, commit } = await server.repository('quiet', {})
  const { one } = await begun(url, { credential: 'bot' })
  server.asked.splice(0)
  expect(await ended(one)).toEqual({ commit })
  expect(server.asked).toEqual([])
})

test('a push that cannot be costs the task nothing, and says why', async () => {
  const { url, commit, git } = await server.repository('refusing', { 'a.txt': 'A\n' })
  const reader = await begun(url, { credential: 'reader', push: true })
  await writeFile(join(reader.workspace.repo, 'a.txt'), 'B\n')
  expect(await ended(reader.one)).toEqual({ commit, push_error: 'the credential may not push' })
  const idle = await begun(url)
  expect(await ended(idle.one)).toEqual({ commit, push_error: 'nothing changed' })
  const large = await begun(url)
  await writeFile(join(large.workspace.repo, 'large'), Buffer.alloc(33 * 1024 * 1024))
  expect(await ended(large.one)).toMatchObject({ push_error: expect.stringContaining('1 files are too many or too large') as string })
  const late = await begun(url)
  await writeFile(join(late.workspace.repo, 'a.txt'), 'B\n')
  expect(await ended({ ...late.one, run: { ...late.one.run, deadlineAt: Date.now() + 1_000 } })).toMatchObject({ push_error: 'no time was left of the task' })
  const other = await begun(url)
  await writeFile(join(other.workspace.repo, 'a.txt'), 'B\n')
  await git('config', 'http.receivepack', 'false')
  expect(await ended(other.one)).toMatchObject({ commit, push_error: expect.stringContaining('refused access') as string })
  expect(await git('branch', '--list')).toBe('* main')
})

test('G4: nothing is pushed by a worker that lost the task', async () => {
  const { url, git } = await server.repository('fenced', { 'a.txt': 'A\n' })
  const { one, workspace } = await begun(url)
  await writeFile(join(workspace.repo, 'a.txt'), 'B\n')
  await ended({ ...one, run: { ...one.run, confirmClaim: () => Promise.reject(new Error('another owns it')) } })
  expect(await git('branch', '--list')).toBe('* main')
})

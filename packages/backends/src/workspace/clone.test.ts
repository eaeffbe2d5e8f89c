import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type GitServer, type GitServerOptions, startGitServer, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { record } from '../fixtures/record.ts'
import { changesBetween, snapshot } from './changes.ts'
import type { GitAccess } from './git-access.ts'
import { startOf } from './prepare.ts'
import { openStorage, type Workspace, workspaceOf } from './storage.ts'
import { prepareFor, type WorkspaceSource } from './task-workspace.ts'

const TOKEN = 'the-planted-token-0123456789'

let root: string
let server: GitServer
let source: WorkspaceSource & { git: GitAccess }
beforeAll(async () => {
  server = await startGitServer()
})
afterAll(() => server.stop())
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-clone-'))
  source = { storage: await openStorage(join(root, 'storage')), git: { allow: [server.url], credentialsFile: join(root, 'credentials.json'), timeoutMs: 30_000, limits: { bytes: 10_000_000, files: 1_000 } } }
})
afterAll(() => rm(root, { recursive: true, force: true }))
afterEach(() => server.asked.splice(0))

/** What everybody on this machine can see of its processes. */
function commandLines(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')]
    } catch {
      return []
    }
  })
}

/** Another server, and a source that allows it. */
async function withServer<T>(options: GitServerOptions, use: (server: GitServer, source: WorkspaceSource & { git: GitAccess }) => Promise<T>): Promise<T> {
  const other = await startGitServer(options)
  try {
    return await use(other, { ...source, git: { ...source.git, allow: [other.url] } })
  } finally {
    await other.stop()
  }
}

const refused = (what: Promise<unknown>) => what.then(() => Promise.reject(new Error('it was not refused')), (thrown: unknown) => thrown)

const asking = (git: { url: string; ref?: string; credential?: string }) => record('x', { workspace: { git } })
async function prepared(git: { url: string; ref?: string; credential?: string }, from: WorkspaceSource = source): Promise<{ workspace: Workspace; events: unknown[] }> {
  const one = asking(git)
  await prepareFor(from, one.task, one.run, undefined)
  return { workspace: workspaceOf(from.storage, one.task.id), events: one.events }
}

test('a workspace begins with one commit of a repository: its default branch, ready to be worked on', async () => {
  const { url, commit } = await server.repository('plain', { 'a.txt': 'A\n', 'dist/kept.js': '1\n', '.gitignore': 'dist/\n' })
  const { workspace, events } = await prepared({ url })
  expect(await readFile(join(workspace.repo, 'a.txt'), 'utf8')).toBe('A\n')
  expect(await readFile(join(workspace.repo, '.git', 'HEAD'), 'utf8')).toBe('ref: refs/heads/main\n')
  expect(events).toEqual([{ type: 'task.tool', payload: { tool: 'workspace', title: `cloned ${url} at ${commit} (main)`, status: 'completed', duration_ms: expect.any(Number) as number } }])
  expect(await readdir(workspace.directory)).toEqual(['baseline.git', 'control', 'repo', 'state'])
  // What the repository holds although it ignores it counts from the start.
  const start = await startOf(workspace)
  await writeFile(join(workspace.repo, 'dist/kept.js'), '2\n')
  await writeFile(join(workspace.repo, 'new.txt'), 'n\n')
  expect(await changesBetween(workspace, start, await snapshot(workspace))).toEqual([{ path: 'dist/kept.js', change: 'modified' }, { path: 'new.txt', change: 'added' }])
})

test('a branch, a tag, a commit: what is asked for is what the agent gets', async () => {
  const { url, commit, git } = await server.repository('refs', { 'a.txt': 'A\n' })
  await git('tag', '-a', 'v1', '-m', 'One')
  const later = await git('commit-tree', `${commit}^{tree}`, '-p', commit, '-m', 'Later')
  await git('update-ref', 'refs/heads/feature/x', later)
  const head = async (ref: string) => {
    const { workspace, events } = await prepared({ url, ref })
    return [(await readFile(join(workspace.repo, '.git', 'HEAD'), 'utf8')).trim(), JSON.stringify(events).includes(ref === 'feature/x' ? later : commit)]
  }
  expect(await head('feature/x')).toEqual(['ref: refs/heads/feature/x', true])
  expect(await head('refs/heads/main')).toEqual(['ref: refs/heads/main', true])
  expect(await head('v1')).toEqual([commit, true])
  expect(await head(commit)).toEqual([commit, true])
})

test('what cannot be had is said in words, and is not tried again', async () => {
  const { url } = await server.repository('wanting', {})
  await expect(prepared({ url, ref: 'no-such' })).rejects.toMatchObject({ code: 'workspace', message: `${url} has no branch, tag or commit "no-such"` })
  await expect(prepared({ url, ref: 'f'.repeat(40) })).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('does not have that commit') as string })
  await expect(prepared({ url: `${server.url}nothing.git` })).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('is not there') as string })
  await expect(prepared({ url: 'https://localhost/x.git' })).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('WORKSPACE_GIT_ALLOW') as string })
  await withServer({ login: { username: 'u', password: TOKEN } }, async (locked, from) => {
    const secret = await locked.repository('locked', {})
    await expect(prepared({ url: secret.url }, from)).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('refused access') as string })
  })
})

test('a server that breaks off or stays silent may do better later', async () => {
  await withServer({ intercept: (_request, response) => (response.destroy(), true) }, async ({ url }, from) => {
    await expect(prepared({ url: `${url}a.git` }, from)).rejects.toMatchObject({ code: 'workspace_unreachable' })
  })
  await withServer({ intercept: () => true }, async ({ url }, from) => {
    const impatient = { ...from, git: { ...from.git, timeoutMs: 1_500 } }
    await expect(prepared({ url: `${url}a.git` }, impatient)).rejects.toMatchObject({ code: 'workspace_unreachable', message: expect.stringContaining('timed out') as string })
    expect(commandLines().filter((line) => line.includes(url))).toEqual([])
  })
})

test('G9: a clone that nobody wants any more ends at once, with all its processes and files', async () => {
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  await withServer({ intercept: () => (resolve(), true) }, async ({ url }, from) => {
    const one = asking({ url: `${url}a.git` })
    const clone = refused(prepareFor(from, one.task, one.run, undefined))
    await reached
    expect(commandLines().filter((line) => line.includes(url)).length).toBeGreaterThan(0)
    const began = performance.now()
    one.letGo.abort(new Error('let go'))
    await clone
    // A server that stays silent is given up after 30 s anyway.
    expect(performance.now() - began).toBeLessThan(20_000)
    expect(commandLines().filter((line) => line.includes(url))).toEqual([])
    expect((await readdir(workspaceOf(from.storage, one.task.id).directory)).filter((name) => name.startsWith('repo'))).toEqual([])
  })
})

test('G7: a worker that is killed in the middle of a clone leaves no process, and nothing that passes for a whole repository', async () => {
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  let isStuck = true
  const intercept: GitServerOptions['intercept'] = (request) => {
    const isHeld = isStuck && request.method === 'POST' && request.headers['content-length'] !== undefined && seen.push(request.url ?? '') > 1
    if (isHeld) resolve()
    return isHeld
  }
  const seen: string[] = []
  await withServer({ intercept }, async (other, from) => {
    const { url } = await other.repository('held', { 'a.txt': 'A\n' })
    const one = asking({ url })
    const child = fork(new URL('testing-clone.ts', import.meta.url), [JSON.stringify({ source: from, task: one.task })], { stdio: 'inherit' })
    const exited = once(child, 'exit')
    await reached
    child.kill('SIGKILL')
    await exited
    await waitFor(() => !commandLines().some((line) => line.includes(url) && line.includes('git')), { what: 'git to be gone' })
    isStuck = false
    const workspace = workspaceOf(from.storage, one.task.id)
    await expect(startOf(workspace)).rejects.toMatchObject({ code: 'not_started' })
    await prepareFor(from, one.task, one.run, undefined)
    expect(await readFile(join(workspace.repo, 'a.txt'), 'utf8')).toBe('A\n')
    expect(await readdir(workspace.directory)).toEqual(['baseline.git', 'control', 'repo', 'state'])
  })
})

test('G7: a worker that dies right after the repository got its name leaves the rest to the next', async () => {
  const { url } = await server.repository('named', { 'a.txt': 'A\n' })
  const { workspace } = await prepared({ url })
  await rm(join(workspace.control, 'baseline'))
  await rm(workspace.baseline, { recursive: true })
  server.asked.splice(0)
  const one = record('x', { id: basename(workspace.directory), workspace: { git: { url } } })
  await prepareFor(source, one.task, one.run, undefined)
  expect([server.asked, await readFile(join(workspace.repo, 'a.txt'), 'utf8')]).toEqual([[], 'A\n'])
  expect(await changesBetween(workspace, await startOf(workspace), await snapshot(workspace))).toEqual([])
})

test('a credential is named, never shown: not in events, errors, configuration, or the list of processes', async () => {
  const seen: string[] = []
  const login = { username: 'bot', password: TOKEN }
  await withServer({ login, intercept: () => (seen.push(...commandLines()), false) }, async (locked, from) => {
    const { url } = await locked.repository('secret', { 'a.txt': 'A\n' })
    const write = (entry: object, mode = 0o600) => rm(from.git.credentialsFile, { force: true }).then(() => writeFile(from.git.credentialsFile, JSON.stringify({ bot: { username: 'bot', token: TOKEN, urls: [locked.url], agents: ['agent-of-the-suite'], ...entry } }), { mode }))
    await write({})
    const { workspace, events } = await prepared({ url, credential: 'bot' }, from)
    expect(await readFile(join(workspace.repo, 'a.txt'), 'utf8')).toBe('A\n')
    // All that the server says to us, with what we said to it, comes back in its complaint.
    await write({ token: `${TOKEN}-wrong` })
    const failure = await refused(prepared({ url, credential: 'bot' }, from))
    expect(failure).toMatchObject({ code: 'workspace', message: expect.stringContaining('refused access') as string })
    // Others see the same as if there were none.
    const said: string[] = []
    for (const entry of [{ agents: ['somebody'] }, { urls: ['https://elsewhere.example/'] }, { urls: [`${locked.url}sec`] }]) {
      await write(entry)
      said.push(String(await refused(prepared({ url, credential: 'bot' }, from))))
    }
    await rm(from.git.credentialsFile)
    said.push(String(await refused(prepared({ url, credential: 'bot' }, from))))
    expect(new Set(said)).toEqual(new Set([`TaskFailure: there is no credential "bot" here that agent-of-the-suite may use for ${url}; the operator sets them up in WORKSPACE_GIT_CREDENTIALS`]))
    await write({}, 0o640)
    const open = await refused(prepared({ url, credential: 'bot' }, from))
    expect(open).toMatchObject({ message: expect.stringContaining('0600') as string })
    const everything = [JSON.stringify(events), String(failure), JSON.stringify(failure), String(open), ...seen, await contents(workspace.directory)].join('\n')
    for (const secret of [TOKEN, Buffer.from(`bot:${TOKEN}`).toString('base64').slice(0, 30)]) expect(everything).not.toContain(secret)
    expect(seen.some((line) => line.includes('git') && line.includes(locked.url))).toBe(true)
    await rm(from.git.credentialsFile)
  })
})

async function contents(folder: string): Promise<string> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
  return (await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), 'latin1')))).join('\n')
}

test('a server that repeats our credential in its words does not bring it into an error', async () => {
  const intercept: GitServerOptions['intercept'] = ({ headers }, response) => {
    response.writeHead(403, { 'content-type': 'text/plain' }).end(`You said ${headers.authorization ?? ''}, that is ${Buffer.from(headers.authorization?.slice(6) ?? '', 'base64').toString()}\u001B[2J\n`)
    return true
  }
  await withServer({ intercept }, async ({ url }, from) => {
    await writeFile(from.git.credentialsFile, JSON.stringify({ bot: { token: TOKEN, urls: [url], agents: ['*'] } }), { mode: 0o600 })
    const said = String(await refused(prepared({ url: `${url}a.git`, credential: 'bot' }, from)))
    expect(said).toContain('refused access')
    expect(said).toContain('[redacted]')
    expect(said).not.toContain(TOKEN)
    expect(said).not.toContain('\u001B')
    await rm(from.git.credentialsFile)
  })
})

test('nobody is sent on: a redirect is not followed', async () => {
  const { url } = await server.repository('inside', {})
  await withServer({ intercept: (request, response) => (response.writeHead(302, { location: `${url}${request.url?.replace(/^\/a.git/, '') ?? ''}` }).end(), true) }, async (other, from) => {
    await expect(prepared({ url: `${other.url}a.git` }, from)).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('not followed') as string })
  })
  expect(server.asked).toEqual([])
})

test('what is larger than a workspace may be is refused before it is there', async () => {
  const noise = Array.from({ length: 40_000 }, () => Math.random().toString(36)).join('')
  const large = await server.repository('large', { noise })
  const within = (limits: Partial<GitAccess['limits']>) => ({ ...source, git: { ...source.git, limits: { ...source.git.limits, ...limits } } })
  await expect(prepared({ url: large.url }, within({ bytes: 100_000 }))).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('larger than a workspace') as string })
  const packed = await server.repository('packed', { zeros: '0'.repeat(5_000_000) })
  await expect(prepared({ url: packed.url }, within({ bytes: 4_000_000 }))).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('WORKSPACE_MAX_BYTES') as string })
  // A thousand million files of ten objects.
  const bomb = await server.repository('bomb', { f: 'x' })
  let tree = await bomb.git('rev-parse', 'HEAD^{tree}')
  for (let depth = 0; depth < 9; depth += 1) tree = await bomb.feed(Array.from({ length: 10 }, (_, i) => `040000 tree ${tree}\td${i}\n`).join(''), 'mktree')
  const commit = await bomb.git('commit-tree', tree, '-m', 'Bomb')
  await bomb.git('update-ref', 'refs/heads/main', commit)
  await expect(prepared({ url: bomb.url })).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('1000 files') as string })
})

test('G14: a tree that names git\'s own folder, or a link and what lies beneath it, brings nothing there', async () => {
  const { url, git, feed } = await server.repository('climbing', {})
  const blob = await feed('[core]\n\tfsmonitor = touch witness\n', 'hash-object', '-w', '--stdin')
  const inner = await feed(`100644 blob ${blob}\tconfig\n`, 'mktree')
  const link = await feed(root, 'hash-object', '-w', '--stdin')
  for (const [i, entries] of [`040000 tree ${inner}\t.git\n`, `120000 blob ${link}\tout\n040000 tree ${inner}\tout\n`].entries()) {
    await git('update-ref', `refs/heads/b${i}`, await git('commit-tree', await feed(entries, 'mktree'), '-m', 'Climb'))
  }
  await expect(prepared({ url, ref: 'b0' })).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('could not be checked out') as string })
  const { workspace } = await prepared({ url, ref: 'b1' })
  expect(await readdir(workspace.repo)).toEqual(['.git', 'out'])
  expect((await readdir(root)).sort()).not.toContain('config')
})

test('G14: nothing that a repository holds is run, followed or fetched besides', async () => {
  const witness = join(root, 'witness')
  const { url, git, feed } = await server.repository('hostile', {
    '.gitattributes': '* filter=lfs diff=trap text=auto\n', '.gitmodules': `[submodule "s"]\n\tpath = s\n\turl = ext::sh -c "touch ${witness}"\n\tupdate = !touch ${witness}\n`,
    'hooks/post-checkout': `#!/bin/sh\ntouch ${witness}\n`, 'post-checkout': `#!/bin/sh\ntouch ${witness}\n`, 'a.txt': 'A\n', '-rf': 'x', '--upload-pack=touch': 'x', 'line\nbreak': 'x',
  })
  await git('read-tree', 'HEAD')
  const target = await feed(root, 'hash-object', '-w', '--stdin')
  await git('update-index', '--add', '--cacheinfo', `160000,${'a'.repeat(40)},s`, '--cacheinfo', `120000,${target},link`)
  const commit = await git('commit-tree', await git('write-tree'), '-p', 'HEAD', '-m', 'Traps')
  await git('update-ref', 'refs/heads/main', commit)
  const { workspace } = await prepared({ url })
  expect((await readdir(workspace.repo)).sort()).toEqual(['--upload-pack=touch', '-rf', '.git', '.gitattributes', '.gitmodules', 'a.txt', 'hooks', 'line\nbreak', 'link', 'post-checkout', 's'])
  expect(await readdir(join(workspace.repo, 's'))).toEqual([])
  expect(await readlink(join(workspace.repo, 'link'))).toBe(root)
  expect(await readdir(root)).not.toContain('witness')
})

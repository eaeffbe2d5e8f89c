import { readFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, type ExecutionOutcome, SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, type GitServer, runnerImage, startGitServer } from '@longshore/testkit'
import { expect, test, vi } from 'vitest'
import { record } from './fixtures/record.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { createDockerMode, type DockerModeOptions } from './docker-mode.ts'
import { createOpencodeMode } from './opencode-mode.ts'
import type { GitAccess } from './workspace/git-access.ts'
import { diffWorkspace } from './workspace/diff.ts'
import { openStorage, type Storage, workspaceOf } from './workspace/storage.ts'

vi.setConfig({ testTimeout: 180_000 })

const TOKEN = 'the-planted-token-0123456789'
type Make = (common: { storage: Storage; git: GitAccess }, model: Awaited<ReturnType<typeof scriptedModel>>) => Promise<Backend>

/** From a repository to a branch of it: the same in every place (G13). */
async function journey(make: Make): Promise<ExecutionOutcome> {
  const root = await mkdtemp(join(tmpdir(), 'longshore-git-journey-'))
  const [server, model] = await Promise.all([startGitServer({ login: { username: 'bot', password: TOKEN } }), scriptedModel()])
  const credentialsFile = join(root, 'credentials.json')
  await writeFile(credentialsFile, JSON.stringify({ bot: { username: 'bot', token: TOKEN, urls: [server.url], agents: ['agent-of-the-suite'], push: true } }), { mode: 0o600 })
  const storage = await openStorage(join(root, 'storage'))
  const backend = await make({ storage, git: { allow: [server.url], credentialsFile, timeoutMs: 60_000, limits: { bytes: 1e8, files: 10_000 } } }, model)
  try {
    return await travel(backend, storage, server)
  } finally {
    await backend.close()
    await model.provider.stop()
    await server.stop()
    await rm(root, { recursive: true, force: true })
  }
}

async function travel(backend: Backend, storage: Storage, server: GitServer): Promise<ExecutionOutcome> {
  const { url, commit, git } = await server.repository('app', { 'README.md': 'Hello\n' })
  const prompt = '[[bash git log --oneline | cat; git status --short; env; cat README.md]] [[write new.txt|made by the agent]] [[bash git add new.txt && git -c user.name=a -c user.email=a@b commit -qm mine && git status --short]] [[say done]]'
  const one = record(prompt, { mode: backend.mode, workspace: { git: { url, ref: 'main', credential: 'bot', push: true } } })
  const execution = await backend.start(one.task, one.run)
  const outcome = await execution.outcome
  const branch = `longshore/${one.task.id}`
  expect(outcome).toMatchObject({ kind: 'completed', result: { files_changed: 1, git: { commit, branch, head: await git('rev-parse', branch).catch(() => 'none') } } })
  expect(await git('show', `${branch}:new.txt`)).toBe('made by the agent')
  const events = JSON.stringify(one.events)
  expect(events).toContain(`cloned ${url} at ${commit} (main)`)
  expect(events).toContain('Hello')
  expect(events).not.toContain(TOKEN)
  const workspace = workspaceOf(storage, one.task.id)
  expect((await diffWorkspace(workspace, { maxBytes: 10_000 }, new AbortController().signal)).files).toEqual([{ path: 'new.txt', change: 'added' }])
  expect(await readFile(join(workspace.repo, '.git', 'config'), 'utf8')).not.toContain(TOKEN)
  await backend.dispose(execution.handle, one.run)
  return outcome
}

describeNeeding('opencode', 'A repository in a supervised process', () => {
  test('goes from a clone to a pushed branch', async () => {
    expect(await journey(({ storage, git }, { model }) => createOpencodeMode({ deployment: 'suite-git', storage, git, model, path: process.env['PATH'] ?? '', log: SILENT }))).toMatchObject({ kind: 'completed' })
  })
})

describeNeeding(['docker', 'opencode'], 'A repository in a container', () => {
  const container = (profiles: (image: string) => NonNullable<DockerModeOptions['profiles']>): Make => async ({ storage, git }, { model, origin }) => {
    const image = await runnerImage()
    return createDockerMode({ deployment: 'suite-git', engine: await engineHost(), image, storage, git, model, modelOnHost: origin, profiles: profiles(image), log: SILENT })
  }

  test('goes from a clone to a pushed branch', async () => {
    expect(await journey(container(() => ({})))).toMatchObject({ kind: 'completed' })
  })

  test('goes from a clone to a pushed branch with an agent of the Agent Client Protocol', async () => {
    expect(await journey(container((image) => ({ opencode: { driver: 'acp', image, command: ['opencode', 'acp'], env: {}, permission: 'allow', isOpencode: true } })))).toMatchObject({ kind: 'completed' })
  })
})

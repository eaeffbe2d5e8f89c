import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunContext, SILENT, type Task } from '@longshore/contracts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDockerMode } from './docker-mode.ts'
import { openStorage, type Storage } from './workspace/storage.ts'

let root: string
let storage: Storage
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-policy-'))
  storage = await openStorage(join(root, 'storage'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const start = (profile: string, agent_id: string) => {
  const command = { driver: 'command', image: 'x', command: ['true'], env: {} } as const
  const backend = createDockerMode({
    deployment: 'd', engine: `unix://${join(root, 'no-engine')}`, storage, image: 'x', model: { config: {}, env: {} }, log: SILENT,
    policy: { permissions: {}, agents: { 'agent-a': { bash: 'deny' } } }, profiles: { plain: command, vouched: { ...command, unasked: true } },
  })
  const task: Task = { v: 1, id: `task-${'a'.repeat(26)}`, agent_id, prompt: 'x', title: 'x', mode: 'docker', profile, timeout_ms: 60_000, max_attempts: 1, observers: [], state: 'running', claim: 1, attempt: 1, ticket: 1, created_at: 0, seq: 1, last_event_id: '' }
  const run: RunContext = { claim: 1, deadlineAt: Date.now() + 60_000, signal: new AbortController().signal, log: SILENT, confirmClaim: () => Promise.resolve(), onHandle: () => Promise.resolve(), onAsks: () => Promise.resolve(), emit: () => Promise.resolve() }
  return backend.start(task, run)
}

test('G14: a worker looks again: a plain command is not started for an agent from whom its policy withholds something', async () => {
  await expect(start('plain', 'agent-a')).rejects.toMatchObject({ code: 'not_allowed', message: expect.stringMatching(/plain runs a plain command.*AGENT_PERMISSIONS withholds bash from agent-a/) as string })
  expect(await readdir(storage.root)).toEqual(['.longshore-storage'])
  // These are let through, as far as the engine that is not there.
  for (const [profile, agent] of [['vouched', 'agent-a'], ['plain', 'agent-b']] as const) await expect(start(profile, agent)).rejects.toMatchObject({ code: 'backend_unavailable' })
})

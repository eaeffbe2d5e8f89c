import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SILENT } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type LocalAgent, startLocalAgent } from '../../fixtures/local-agent.ts'
import { record, type Recorded, successorOf, textOf } from '../../fixtures/record.ts'
import { createFileWatch } from '../../workspace/file-watch.ts'
import { baselineOf, prepareWorkspace } from '../../workspace/prepare.ts'
import { openStorage, type Workspace, workspaceOf } from '../../workspace/storage.ts'
import type { Plan } from './converse.ts'
import { driveAcp, stallOf } from './drive.ts'
import { createAcpMirror, parseAcpPosition, positionFor } from './mirror.ts'

let root: string
let workspace: Workspace
let agent: LocalAgent
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-acp-'))
  workspace = workspaceOf(await openStorage(root), record('x').task.id)
  await prepareWorkspace(workspace)
  const program = fileURLToPath(new URL('../../fixtures/asking-agent.ts', import.meta.url))
  agent = startLocalAgent([process.execPath, program], { cwd: workspace.repo, env: { PATH: process.env['PATH'] ?? '' } })
})
afterEach(async () => {
  agent.kill()
  await rm(root, { recursive: true, force: true, maxRetries: 5 })
})

async function drive({ task, run }: Recorded, more: Partial<Plan> = {}): ReturnType<typeof driveAcp> {
  const baseline = await baselineOf(workspace) ?? ''
  const mirror = createAcpMirror({
    baseline, run, isResumed: false, files: createFileWatch(workspace, SILENT), clean: (text) => text, position: positionFor(agent.pipe.id, parseAcpPosition(task.position), baseline, true),
  })
  const plan: Plan = { cwd: workspace.repo, prompt: task.prompt, permission: 'allow', onSession: () => Promise.resolve(), ...more }
  return driveAcp({ pipe: agent.pipe, plan, mirror, run, patience: { stallMs: 60_000, stallToolMs: 60_000 } })
}
const go = (): Promise<void> => writeFile(join(workspace.repo, 'go'), '')
const until = (one: Recorded, words: string): Promise<unknown> => waitFor(() => textOf(one.events).includes(words), { what: words, timeoutMs: 30_000 })
/** The ids of what the agent was given. */
const given = (): unknown[] => agent.given().map((line) => /"id":([^,]+),/.exec(line)?.[1])

test('an adopter sends nothing and answers nothing that its predecessor did (G5, G7)', { timeout: 90_000 }, async () => {
  const one = record('x')
  drive(one).catch(() => {})
  await until(one, 'heard yes')
  one.letGo.abort()
  const next = successorOf(one)
  const outcome = drive(next)
  await go()
  expect(await outcome).toMatchObject({ kind: 'completed', result: { output: 'asked heard yes done' } })
  expect(textOf([...one.events, ...next.events])).toBe('asked heard yes done')
  expect(given()).toEqual(['"initialize"', '"session/new"', '"session/prompt"', '7'])
})

test('a profile may let its agent do nothing', { timeout: 60_000 }, async () => {
  await go()
  expect(await drive(record('x'), { permission: 'deny' })).toMatchObject({ kind: 'completed', result: { output: 'asked heard no done' } })
})

test('a worker that has lost the claim gives the agent nothing more (G4)', { timeout: 60_000 }, async () => {
  const one = record('x')
  const stale = { ...one, run: { ...one.run, confirmClaim: () => Promise.reject(new Error('another worker owns it')) } }
  await expect(drive(stale)).rejects.toThrow('another worker owns it')
  expect(given()).toEqual([])
})

test('who does not know what a session was to be told says nothing to it', { timeout: 60_000 }, async () => {
  expect(await drive(record('x'), { prompt: undefined })).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
  expect(given()).toEqual(['"initialize"', '"session/new"'])
})

test('an agent that lets nobody choose its model is a failure that says so', { timeout: 60_000 }, async () => {
  expect(await drive(record('x'), { model: 'a/b' })).toMatchObject({ kind: 'failed', failure: { code: 'provider_rejected', message: expect.stringContaining('lets nobody choose its model') as string } })
})

test('an agent from which nothing comes has stalled, later while a tool runs', () => {
  const limits = { stallMs: 1_000, stallToolMs: 5_000 }
  expect([stallOf(limits, 999, false), stallOf(limits, 4_000, true)]).toEqual([undefined, undefined])
  expect([stallOf(limits, 1_000, false)?.code, stallOf(limits, 5_000, true)?.message]).toEqual(['stalled', 'the agent showed no sign of life for 5 s (STALL_TOOL_MS, a tool runs)'])
})

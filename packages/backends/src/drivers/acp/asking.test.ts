import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type AgentAsk, layersOf, NO_RULES, type PermissionPolicy, SILENT } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type LocalAgent, startLocalAgent } from '../../fixtures/local-agent.ts'
import { record, type Recorded, successorOf, textOf } from '../../fixtures/record.ts'
import { redactor } from '../../text.ts'
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

async function drive({ task, run }: Recorded, more: Partial<Plan> = {}, layers: readonly PermissionPolicy[] = layersOf(NO_RULES, task), stallMs = 60_000): ReturnType<typeof driveAcp> {
  const baseline = await baselineOf(workspace) ?? ''
  const mirror = createAcpMirror({
    baseline, run, isResumed: false, files: createFileWatch(workspace, SILENT), clean: redactor([]), position: positionFor(agent.pipe.id, parseAcpPosition(task.position), baseline, true),
  })
  const plan: Plan = { cwd: workspace.repo, prompt: task.prompt, onSession: () => Promise.resolve(), ...more }
  return driveAcp({ pipe: agent.pipe, plan, mirror, run, layers, clean: (text) => text.replaceAll('hunter2', '[redacted]'), patience: { stallMs, stallToolMs: stallMs } })
}
const go = (): Promise<void> => writeFile(join(workspace.repo, 'go'), '')
const until = (one: Recorded, words: string): Promise<unknown> => waitFor(() => textOf(one.events).includes(words), { what: words })
/** The ids of what the agent was given. */
const given = (): unknown[] => agent.given().map((line) => /"id":([^,]+),/.exec(line)?.[1])

test('an adopter sends nothing and answers nothing that its predecessor did (G5, G7)', async () => {
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

const PUSH = JSON.stringify({ kind: 'execute', title: 'push', rawInput: { command: 'cd x && git push hunter2' } })
const ASK: PermissionPolicy[] = [{ bash: { '*': 'allow', 'git push*': 'ask' } }]
const asked = async (one: Recorded): Promise<AgentAsk> => {
  await waitFor(() => one.asks.length > 0, { what: 'the agent to ask' })
  return one.asks[0] as AgentAsk
}

test('what a policy leaves to be asked waits for an answer, which the agent gets once', async () => {
  const one = record(PUSH)
  const outcome = drive(one, {}, ASK)
  const ask = await asked(one)
  expect(ask).toMatchObject({ kind: 'permission', tool: 'bash', subjects: ['cd x', 'git push hunter2'], question: 'bash: cd x, git push [redacted]' })
  expect(textOf(one.events)).not.toContain('heard')
  expect((await Promise.all([ask.answer({ choices: ['always'] }), ask.answer({ choices: ['deny'] })])).toSorted()).toEqual(['answered', 'gone'])
  expect(await ask.answer({ choices: ['deny'] })).toBe('gone')
  await waitFor(() => one.asks.length === 0, { what: 'nothing to be asked any more' })
  await go()
  expect(await outcome).toMatchObject({ kind: 'completed', result: { output: 'asked heard yes done' } }) // once, although the answer was always
  expect(given()).toEqual(['"initialize"', '"session/new"', '"session/prompt"', '7'])
})

test('what is denied, or not answered, is not done', async () => {
  await go()
  const one = record(PUSH)
  const outcome = drive(one, {}, ASK)
  expect(await (await asked(one)).answer({ choices: [] })).toBe('answered')
  expect(await outcome).toMatchObject({ result: { output: 'asked heard no done' } })
})

test('what the policies settle asks nobody, and the log shows what they refused', async () => {
  await go()
  const one = record(PUSH)
  expect(await drive(one, {}, [...ASK, { bash: { 'git push*': 'deny' } }])).toMatchObject({ kind: 'completed', result: { output: 'asked heard no done' } })
  expect(one.asks).toEqual([])
  expect(one.events).toContainEqual({ type: 'task.tool', payload: { tool: 'bash', title: 'bash: cd x, git push [redacted]', status: 'error', output: 'refused by the policy' } })
})

test('what an agent does not say, no pattern decides: a person does, and nobody after this by less', async () => {
  const one = record(JSON.stringify({ kind: 'read', title: 'a file' }))
  drive(one, {}, [{ read: { '*': 'allow', '*.env': 'deny' } }]).catch(() => {})
  const { tool, subjects, question } = await asked(one)
  expect({ tool, subjects, question }).toEqual({ tool: undefined, subjects: undefined, question: 'read: a file' })
})

test('a request that is none is refused, and the run goes on (G14)', async () => {
  const one = record(JSON.stringify({ toolCallId: 7, kind: ['x'], rawInput: 'x', locations: {} }))
  drive(one, {}, [{ '*': 'ask' }]).catch(() => {})
  await waitFor(() => given().includes('7'), { what: 'an answer' })
  expect([agent.given().at(-1), one.asks]).toEqual([expect.stringContaining('error'), []])
})

test('a worker that has lost the claim answers nothing (G4)', async () => {
  const one = record(PUSH)
  drive(one, {}, ASK).catch(() => {})
  const ask = await asked(one)
  one.run.confirmClaim = () => Promise.reject(new Error('another worker owns it'))
  await expect(ask.answer({ choices: ['allow'] })).rejects.toThrow('another worker owns it')
  expect(given()).not.toContain('7')
  one.run.confirmClaim = () => Promise.resolve()
  expect(await ask.answer({ choices: ['allow'] })).toBe('answered')
})

test('an adopter hears what the agent waits for, under the same name, and not what it was answered (G7)', async () => {
  const one = record(PUSH)
  drive(one, {}, ASK).catch(() => {})
  const ask = await asked(one)
  one.letGo.abort()
  const next = successorOf(one)
  drive(next, {}, ASK).catch(() => {})
  const again = await asked(next)
  expect(again.id).toBe(ask.id)
  expect(await again.answer({ choices: ['allow'] })).toBe('answered')
  await until(next, 'heard yes')
  next.letGo.abort()
  const third = successorOf(next)
  const outcome = drive(third, {}, ASK)
  await go()
  expect(await outcome).toMatchObject({ kind: 'completed' })
  expect(third.asks).toEqual([])
  expect(given().filter((id) => id === '7')).toEqual(['7'])
})

test('who waits for an answer has not stalled, and is told of again', async () => {
  const one = record(PUSH)
  let told = 0
  const run = { ...one.run, onAsks: (asks: readonly AgentAsk[]) => one.run.onAsks(asks).then(() => void (told += 1)) }
  const outcome = drive({ ...one, run }, {}, ASK, 1_500)
  outcome.catch(() => {})
  await waitFor(() => told > 1, { what: 'what waits to be told again' })
  expect(await (await asked(one)).answer({ choices: ['allow'] })).toBe('answered')
  expect(await outcome).toMatchObject({ kind: 'failed', failure: { code: 'stalled' }, result: { output: 'asked heard yes ' } }) // the answer is there, and then nothing comes
})

test('a claim that is lost when the worker hears of a question ends the run (G4)', async () => {
  const one = record(PUSH)
  await expect(drive({ ...one, run: { ...one.run, onAsks: () => Promise.reject(new Error('another worker owns it')) } }, {}, ASK)).rejects.toThrow('another worker owns it')
})

test('a profile may let its agent do nothing', async () => {
  await go()
  expect(await drive(record('x'), {}, [{ '*': 'deny' }])).toMatchObject({ kind: 'completed', result: { output: 'asked heard no done' } })
})

test('a worker that has lost the claim gives the agent nothing more (G4)', async () => {
  const one = record('x')
  const stale = { ...one, run: { ...one.run, confirmClaim: () => Promise.reject(new Error('another worker owns it')) } }
  await expect(drive(stale)).rejects.toThrow('another worker owns it')
  expect(given()).toEqual([])
})

test('who does not know what a session was to be told says nothing to it', async () => {
  expect(await drive(record('x'), { prompt: undefined })).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
  expect(given()).toEqual(['"initialize"', '"session/new"'])
})

test('an agent that lets nobody choose its model is a failure that says so', async () => {
  expect(await drive(record('x'), { model: 'a/b' })).toMatchObject({ kind: 'failed', failure: { code: 'provider_rejected', message: expect.stringContaining('lets nobody choose its model') as string } })
})

test('an agent from which nothing comes has stalled, later while a tool runs', () => {
  const limits = { stallMs: 1_000, stallToolMs: 5_000 }
  expect([stallOf(limits, 999, false), stallOf(limits, 4_000, true)]).toEqual([undefined, undefined])
  expect([stallOf(limits, 1_000, false)?.code, stallOf(limits, 5_000, true)?.message]).toEqual(['stalled', 'the agent showed no sign of life for 5 s (STALL_TOOL_MS, a tool runs)'])
})

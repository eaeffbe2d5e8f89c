import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AgentAsk, layersOf, NO_RULES, type PermissionPolicy, SILENT } from '@longshore/contracts'
import { describeNeeding, type ScriptedProvider, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DIRECTIVES } from '../../fixtures/dialects.ts'
import { type LocalAgent, startLocalAgent } from '../../fixtures/local-agent.ts'
import { filesOf, record, type Recorded, successorOf, textOf } from '../../fixtures/record.ts'
import { scriptedModel } from '../../fixtures/scripted-model.ts'
import { redactor } from '../../text.ts'
import { createFileWatch } from '../../workspace/file-watch.ts'
import { baselineOf, prepareWorkspace } from '../../workspace/prepare.ts'
import { openStorage, type Workspace, workspaceOf } from '../../workspace/storage.ts'
import { askingOverAcp, layersOverAcp } from '../opencode/over-acp.ts'
import { serverEnvironment } from '../opencode/server-settings.ts'
import type { Plan } from './converse.ts'
import { driveAcp } from './drive.ts'
import { createAcpMirror, parseAcpPosition, positionFor } from './mirror.ts'

// Not what these tests are about: a busy machine is slow to start an agent.
const PATIENCE = { stallMs: 300_000, stallToolMs: 300_000 }

describeNeeding(['opencode'], 'the driver of the Agent Client Protocol, with the agent of OpenCode', () => {
  let root: string
  let provider: ScriptedProvider
  let workspace: Workspace
  let environmentFor: (layers: readonly PermissionPolicy[]) => Record<string, string>
  let agents: LocalAgent[]
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-acp-'))
    const model = await scriptedModel()
    provider = model.provider
    workspace = workspaceOf(await openStorage(root), record('x').task.id)
    await prepareWorkspace(workspace)
    environmentFor = (layers) => serverEnvironment(workspace, askingOverAcp(model.model), 'none', { path: process.env['PATH'] ?? '', temporary: root, permissions: layersOverAcp(layers) })
    agents = []
  })
  afterEach(async () => {
    for (const agent of agents) agent.kill()
    await provider.stop()
    await rm(root, { recursive: true, force: true, maxRetries: 5 })
  })

  function startAgent(permissions: PermissionPolicy = {}): LocalAgent {
    const agent = startLocalAgent([createRequire(import.meta.url).resolve('opencode-ai/bin/opencode.exe'), 'acp'], { cwd: workspace.repo, env: environmentFor(layersOf(NO_RULES, { agent_id: '', permissions })) })
    agents.push(agent)
    return agent
  }
  async function drive({ pipe }: LocalAgent, { task, run }: Recorded, more: Partial<Plan> = {}): ReturnType<typeof driveAcp> {
    const baseline = await baselineOf(workspace) ?? ''
    const mirror = createAcpMirror({
      baseline, isResumed: more.session !== undefined, run, files: createFileWatch(workspace, SILENT), clean: redactor([]), position: positionFor(pipe.id, parseAcpPosition(task.position), baseline, more.session === undefined),
    })
    const plan: Plan = { cwd: workspace.repo, prompt: task.prompt, onSession: () => Promise.resolve(), ...more }
    return driveAcp({ pipe, plan, mirror, run, layers: layersOf(NO_RULES, task), clean: (text) => text, patience: PATIENCE })
  }

  test('completes: words, tools, files and usage are told', async () => {
    const one = record(`${DIRECTIVES.write('notes/a.txt', 'hello')} [[bash cat notes/a.txt]] ${DIRECTIVES.say('all done')}`)
    const outcome = await drive(startAgent(), one)
    expect(outcome).toMatchObject({ kind: 'completed', result: { output: 'all done', files_changed: 1, usage: { cost_micros: 0 } } })
    expect(outcome.result?.usage?.input_tokens).toBeGreaterThan(0)
    expect(filesOf(one.events)).toEqual([{ path: 'notes/a.txt', change: 'added' }])
    expect(one.events.filter(({ type }) => type === 'task.tool').map(({ payload }) => payload)).toMatchObject([{ tool: 'edit', status: 'completed' }, { tool: 'execute', status: 'completed', output: 'hello' }])
  })

  test('an adopter, and a connection that breaks, say nothing twice and miss nothing (G5, G7)', async () => {
    const agent = startAgent()
    const one = record(`${DIRECTIVES.slowly(20)} ${DIRECTIVES.say('the end')}`)
    drive(agent, one).catch(() => {})
    await waitFor(() => textOf(one.events).includes('line-2'), { what: 'some output', timeoutMs: 60_000 })
    one.letGo.abort()
    const next = successorOf(one)
    const second = drive(agent, next)
    await waitFor(() => textOf(next.events) !== '', { what: 'more of it', timeoutMs: 60_000 })
    agent.cut()
    const outcome = await second;
    expect(outcome).toMatchObject({ kind: 'completed' })
    const all = textOf([...one.events, ...next.events])
    expect(all.match(/line-\d+/g)).toEqual(Array.from({ length: 20 }, (_, i) => `line-${i + 1}`))
    expect(outcome.result?.output).toBe(all)
    expect(agent.given().map((line) => /"id":"([^"]+)"/.exec(line)?.[1])).toEqual(['initialize', 'session/new', 'session/prompt'])
  })

  test('a connection that breaks before the journal has answered is opened again', async () => {
    const agent = startAgent()
    const one = record(DIRECTIVES.say('the end'))
    const broken = { write: () => {}, broken: Promise.resolve(), close: () => {} }
    let opened = 0
    const input: LocalAgent['pipe']['input'] = () => ((opened += 1) === 1 ? Promise.resolve(broken) : agent.pipe.input())
    expect(await drive({ ...agent, pipe: { ...agent.pipe, input } }, one)).toMatchObject({ kind: 'completed', result: { output: 'the end' } })
    expect(opened).toBe(2)
  })

  test('a killed agent is lost, and its session goes on in another (G7)', async () => {
    let session = ''
    const agent = startAgent()
    const one = record(`${DIRECTIVES.say('before')} ${DIRECTIVES.workAndHang('work.txt', 'line-1')} ${DIRECTIVES.say('after')}`)
    const first = drive(agent, one, { onSession: (id) => Promise.resolve(void (session = id)) })
    await waitFor(async () => (await readFile(join(workspace.repo, 'work.txt'), 'utf8').catch(() => '')) !== '', { what: 'the work', timeoutMs: 60_000 })
    await waitFor(() => agent.said().includes('"sessionUpdate":"tool_call"'), { what: 'the agent to say so', timeoutMs: 60_000 }) // it works before it says so
    agent.kill()
    expect(await first).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
    expect(one.events.filter(({ type }) => type === 'task.tool')).toMatchObject([{ payload: { status: 'error' } }])
    const next = successorOf(one)
    const other = startAgent()
    const outcome = await drive({ ...other, pipe: { ...other.pipe, id: 'another' } }, next, { session, prompt: 'Go on.' })
    expect(outcome).toMatchObject({ kind: 'completed' })
    expect(textOf([...one.events, ...next.events]).replaceAll(/\s+/g, ' ')).toBe('before after')
  })

  async function asked(one: Recorded): Promise<AgentAsk> {
    await waitFor(() => one.asks.length > 0, { what: 'the agent to ask', timeoutMs: 60_000 })
    return one.asks[0] as AgentAsk
  }

  test('asks for what a policy leaves to be asked, and goes on after a yes and a no', async () => {
    const permissions: PermissionPolicy = { edit: 'ask', bash: { '*': 'allow', 'cat *': 'ask', 'rm *': 'deny' } }
    const one = record(`${DIRECTIVES.write('a.txt', 'hello')} [[bash echo x && rm a.txt]] [[bash echo y; cat a.txt]] ${DIRECTIVES.say('the end')}`, { permissions })
    const outcome = drive(startAgent(permissions), one)
    outcome.catch(() => {})
    for (const [choice, tool, subjects] of [['allow', 'edit', ['a.txt']], ['deny', 'bash', ['echo y', 'cat a.txt']]] as const) {
      const ask = await asked(one)
      expect(ask).toMatchObject({ kind: 'permission', tool, subjects })
      expect(await ask.answer({ choices: [choice] })).toBe('answered')
      await waitFor(() => one.asks[0]?.id !== ask.id, { what: 'it to be asked no more' })
    }
    expect(await outcome).toMatchObject({ kind: 'completed', result: { output: 'the end', files_changed: 1 } })
    expect(one.events.filter(({ type }) => type === 'task.tool').map(({ payload }) => payload)).toMatchObject([
      { tool: 'edit', status: 'completed' }, { title: 'bash: echo x, rm a.txt', output: 'refused by the policy' }, { title: 'echo x && rm a.txt', status: 'error' }, { title: 'echo y; cat a.txt', status: 'error' },
    ])
  })

  test('an agent that says no, that is none, or that ends is a failure that says why', async () => {
    expect(await drive(startAgent(), record('[[status 400]]'))).toMatchObject({ kind: 'failed', failure: { code: 'agent_error', message: expect.stringContaining('status 400') as string } })
    const mute = startLocalAgent(['sh', '-c', 'echo "not a message"; echo "no key" >&2; exit 3'], { cwd: root, env: environmentFor([]) })
    expect(await drive(mute, record('x'))).toMatchObject({ kind: 'failed', failure: { code: 'agent_error', message: expect.stringContaining('no key') as string } })
  })
})

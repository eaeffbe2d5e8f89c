import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayProcess, startGateway } from '../testing/gateway-process.ts'
import { longshore, runLongshore } from '../testing/run-longshore.ts'

let gateway: GatewayProcess
let env: Record<string, string>

beforeAll(async () => {
  gateway = await startGateway()
  env = gateway.env
})
afterAll(() => gateway.stop())

const run = (...args: string[]) => longshore(args, env)

test('keys are listed without being shown, and a revoked one is refused', async () => {
  const made = await run('keys', 'make', '--agent', 'agent-9')
  expect(made.said).toMatch(/^lsa_[\w-]{43}\n$/)
  const id = /^key-[0-9a-f]+/.exec(made.complained)?.[0] ?? ''
  const list = await run('keys', 'list')
  expect(list.said).toMatch(new RegExp(`${id} +agent-9 .* tasks +agent\n`))
  expect(list.said).not.toContain(made.said.trim())
  expect(await run('keys', 'revoke', id)).toMatchObject({ code: 0, said: `Revoked ${id}.\n` })
  expect(await run('keys', 'revoke', id)).toMatchObject({ code: 1, complained: `There is no key ${id}. See: longshore keys list\n` })
  const refused = await longshore(['submit', 'x'], { ...env, LONGSHORE_AGENT_KEY: made.said.trim() })
  expect(refused).toMatchObject({ code: 1, complained: expect.stringContaining('(unauthorized)') as string })
})

test('a task is submitted, listed, shown, followed and cancelled', async () => {
  const submitted = await run('submit', 'Tidy \u001B[31mup', '--mode', 'opencode', '--timeout-ms', '5000')
  expect(submitted).toMatchObject({ code: 0, complained: '' })
  const id = /^task-[0-9a-z]{26}/.exec(submitted.said)?.[0] ?? ''
  expect(submitted.said).toBe(`${id}  queued, opencode mode\nFollow it: longshore watch ${id}\n`)
  expect((await run('list')).said).toMatch(new RegExp(`^TASK +STATUS.*\n${id}  queued  opencode  .*  Tidy \\[31mup\n`))
  expect((await run('status', id)).said).toMatch(/status +queued\nmode +opencode\nagent +agent-7\n/)
  expect(JSON.parse((await run('status', id, '--json')).said)).toMatchObject({ task_id: id, timeout_ms: 5_000 })
  const watch = runLongshore(['watch', id], env)
  await waitFor(() => watch.said().includes('queued'), { what: 'the first event' })
  expect((await run('cancel', id, '--reason', 'no longer wanted')).code).toBe(0)
  expect(await watch.ended).toBe(1)
  expect(watch.said()).toMatch(/ 1 {2}queued .*\n +2 {2}cancelled +by \S+: no longer wanted\n\ntask +task-/)
})

test('G6: who watches goes on over the death of the gateway, from where it stood', async () => {
  const id = /^task-[0-9a-z]{26}/.exec((await run('submit', 'Tidy up')).said)?.[0] ?? ''
  const watch = runLongshore(['watch', id], env)
  await waitFor(() => watch.said().includes('queued'), { what: 'the first event' })
  await gateway.replace()
  await run('tell', id, 'are you there')
  expect((await run('cancel', id)).code).toBe(0)
  expect(await watch.ended).toBe(1)
  expect([...watch.said().matchAll(/^ +(\d+) {2}(\w+)/gm)].map(([, seq, kind]) => `${seq} ${kind}`)).toEqual(['1 queued', '2 message', '3 cancelled'])
})

test('a task is told something, paused and resumed, and says how it stands', async () => {
  const id = /^task-[0-9a-z]{26}/.exec((await run('submit', 'Tidy up')).said)?.[0] ?? ''
  expect(await run('tell', id, 'keep \u001B[31mthe API', '--type', 'correction')).toMatchObject({ code: 0, said: expect.stringMatching(/^msg-\S+ {2}The agent reads it when the task runs\.\n$/) as string })
  expect(await run('tell', id, 'x', '--type', 'order')).toMatchObject({ code: 1, complained: expect.stringContaining('--type: got "order", allowed: update, feedback') as string })
  expect((await run('pause', id, '--reason', 'lunch')).said).toBe('The task is paused: it starts when it is resumed. Now: paused.\n')
  expect((await run('status', id)).said).toMatch(/status +paused\n[^]*messages +1 not read yet\n/)
  expect((await run('resume', id)).said).toBe('The task is in the queue again and goes on where it stood. Now: queued.\n')
  expect((await run('cancel', id)).code).toBe(0)
  expect((await run('status', id)).said).toMatch(/messages +1 never reached the agent\n/)
  const watch = runLongshore(['watch', id], env)
  expect(await watch.ended).toBe(1)
  expect(watch.said()).toContain('message       from operator:')
  expect(watch.said()).not.toContain('\u001B[31m')
})

test('output and archive of a task that did nothing yet are refused, and no half file stays', async () => {
  const id = /^task-[0-9a-z]{26}/.exec((await run('submit', 'Tidy up')).said)?.[0] ?? ''
  expect(await run('output', id)).toMatchObject({ code: 1, said: '', complained: expect.stringContaining('(not_started)') as string })
  const folder = await mkdtemp(join(tmpdir(), 'longshore-cli-'))
  expect(await run('archive', id, '-o', join(folder, 'a.tar.gz'))).toMatchObject({ code: 1, complained: expect.stringContaining('(not_started)') as string })
  expect(await run('output', id, '--output', folder)).toMatchObject({ code: 1, complained: expect.stringContaining('is there already') as string })
  expect(await readdir(folder)).toEqual([])
  await rm(folder, { recursive: true })
})

test('a task waits as long as it was told', async () => {
  expect(JSON.parse((await run('submit', 'x', '--queue-ttl', '15m', '--json')).said)).toMatchObject({ queue_ttl_ms: 900_000 })
})

test('the same idempotency key gets the same task', async () => {
  const [one, two] = [await run('submit', 'once', '--idempotency-key', 'k'), await run('submit', 'once', '--idempotency-key', 'k')]
  expect(two.said).toBe(one.said)
})

test('the rollout is shown and changed, and the next task obeys', async () => {
  expect((await run('rollout', 'get')).said).toContain('nobody has set it')
  expect((await run('rollout', 'set', '100')).said).toMatch(/^100 % of agents in OpenCode mode.*set by operator/)
  expect((await run('submit', 'where')).said).toContain('opencode mode')
  await run('rollout', 'set', '0')
  expect((await run('submit', 'where')).said).toContain('docker mode')
})

test('health without a worker is degraded, says so, and is exit code 1', async () => {
  const { code, said } = await run('health')
  expect(code).toBe(1)
  expect(said).toMatch(/^status +degraded: no worker is there to run tasks\ntasks +0 running, \d+ queued/)
})

test.each([
  [['submit', 'x', '--mode', 'cloud'], '--mode: got "cloud", allowed: docker or opencode.'],
  [['submit', 'x', '--timeout-ms', '-5'], '--timeout-ms'],
  [['submit', 'x', '--timeout-ms', '1'], 'timeout_ms'],
  [['submit', 'x', '--queue-ttl', '5'], '--queue-ttl: got "5", allowed: a duration such as 90s, 15m, 2h or 1d.'],
  [['submit', 'x', '--queue-ttl', '99d'], 'queue_ttl_ms'],
  [['submit', ''], 'task_description'],
  [['status', 'task-unknown'], '(task_not_found)'],
  [['keys', 'make', '--agent', 'a b'], '--agent: got "a b", allowed: an agent id'],
])('%j is refused readably, exit code 1', async (args, message) => {
  const { code, said, complained } = await run(...args)
  expect({ code, said }).toEqual({ code: 1, said: '' })
  expect(complained).toContain(message)
  expect(complained).not.toContain('    at ')
})

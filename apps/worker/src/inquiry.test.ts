import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { type AgentAsk, type Backend, DEFAULT_INPUT_TTL_MS, NO_RULES, type PermissionPolicy, type RunContext, type StoredInput, type Task } from '@longshore/contracts'

import type { WorkerSettings } from './create-worker.ts'
import { asking } from './testing/shell-asks.ts'
import { createShellBackend } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const RULES = { policy: NO_RULES, ttlMs: DEFAULT_INPUT_TTL_MS, unanswered: 'deny', graceMs: 60_000 } as const
const QUESTION = asking('q1', 'Which?', ['a', 'b'])
const worker = (inputs: WorkerSettings['inputs'] = {}, more: { name?: string; through?: Through } = {}) => stack.worker({
  concurrency: 1, inputs: { ...RULES, ...inputs }, ...(more.name === undefined ? {} : { name: more.name }),
  backends: [heardThrough(createShellBackend('docker', stack.root, { capabilities: { ask: true, pause: true, steer: true } }), more.through)],
})
/** What becomes of the asks of an execution before its worker hears of them. */
type Through = (asks: readonly AgentAsk[]) => Promise<readonly AgentAsk[]> | readonly AgentAsk[]
function heardThrough(backend: Backend, through: Through = (asks) => asks): Backend {
  const hearing = (run: RunContext): RunContext => ({ ...run, onAsks: async (asks) => run.onAsks(await through(asks)) })
  return { ...backend, start: (task, run) => backend.start(task, hearing(run)), attach: (task, handle, run) => backend.attach(task, handle, hearing(run)), resume: (task, handle, run, note) => backend.resume(task, handle, hearing(run), note) }
}
/** The line of a script that asks nothing and waits for a message. */
const HEARS = 'while [ ! -e mail ]; do sleep 0.02; done; cat mail'
const untilAsked = ({ id }: Task): Promise<StoredInput> => waitFor(async () => (await stack.ledger.inputs(id)).find(({ status }) => status === 'open'), { what: 'a question' })
async function answer({ id }: Task, { input_id }: StoredInput, choices: string[], message?: string) {
  const done = await stack.ledger.answer(id, input_id, { choices, by: 'op', ...(message === undefined ? {} : { message }) })
  if (done?.ticket !== undefined) await stack.producer.add(done.ticket)
  return done
}
const outputOf = async (task: Task) => (await stack.untilOver(task.id)).result?.output
const changes = async ({ id }: Task) => (await stack.types(id)).filter((type) => type !== 'task.output')

test('L-19: a question holds the task until somebody answers; the agent gets the answer, and goes on', async () => {
  await worker()
  const task = await stack.submit(QUESTION)
  const input = await untilAsked(task)
  expect(await stack.until(task.id, 'input_required')).toMatchObject({ asking: 1 })
  expect(input).toMatchObject({ kind: 'question', question: 'Which?', choices: ['a', 'b'], status: 'open' })
  await answer(task, input, ['b'])
  expect(await outputOf(task)).toBe('heard b\n')
  expect(await changes(task)).toEqual(['task.queued', 'task.started', 'task.input_required', 'task.input_answered', 'task.completed'])
})

test('a permission that the policy settles asks nobody; one that is denied by a person is not given, and says why', async () => {
  const permissions: PermissionPolicy = { sh: { '*': 'ask', 'ls*': 'allow', 'rm*': 'deny' } }
  await worker({ policy: { ...NO_RULES, permissions } })
  const task = await stack.submit([asking('p1', 'ls', 'permission'), asking('p2', 'rm x', 'permission'), asking('p3', 'git push', 'permission')].join('; '))
  const input = await untilAsked(task)
  expect(input).toMatchObject({ kind: 'permission', tool: 'sh', question: 'git push', choices: ['allow', 'always', 'deny'] })
  await answer(task, input, ['deny'], 'never')
  expect(await outputOf(task)).toMatch(/^heard allow\nheard deny Not allowed here[^\n]*\nheard deny never\n$/)
  expect((await stack.events(task.id)).flatMap((event) => (event.known && event.type === 'task.tool' ? [event.payload] : []))).toMatchObject([{ tool: 'sh', title: 'rm x', status: 'error' }])
})

test('a task may do less than its deployment allows, never more', async () => {
  await worker({ policy: { permissions: { sh: 'deny' }, agents: {} } })
  const task = await stack.submit(asking('p1', 'ls', 'permission'), { permissions: { sh: 'allow' } })
  expect(await outputOf(task)).toContain('heard deny')
})

test('decision 5: a task that waits for longer than the grace gives its slot back, and goes on in its session with the answer', async () => {
  await worker({ graceMs: 200 })
  const task = await stack.submit(`if [ -e notes ]; then cat notes; else ${QUESTION}; fi`)
  const next = await stack.submit('echo the slot is free')
  const input = await untilAsked(task)
  await stack.until(next.id, 'completed')
  const waiting = await stack.get(task.id)
  expect(waiting).toMatchObject({ state: 'input_required', handle: { checkpoint: true } })
  expect(waiting).not.toHaveProperty('worker')
  expect(await answer(task, input, ['b'])).toMatchObject({ outcome: 'answered', task: { state: 'queued' } })
  expect(await outputOf(task)).toMatch(/You waited for an answer[^]*You asked: Which\?[^]*The answer \(from op\): b/)
  expect((await stack.get(task.id)).attempt).toBe(1)
  expect(await changes(task)).toEqual(['task.queued', 'task.started', 'task.input_required', 'task.input_answered', 'task.queued', 'task.resumed', 'task.completed'])
})

test('a session that asks the same again after that gets the answer at once, and nobody is asked twice', async () => {
  await worker({ graceMs: 200 })
  const again = asking('q2', 'Which?', ['a', 'b'])
  const task = await stack.submit(`if [ -e notes ]; then ${again}; else ${QUESTION}; fi`)
  const input = await untilAsked(task)
  await waitFor(async () => (await stack.get(task.id)).worker === undefined, { what: 'the slot to be free' })
  await answer(task, input, ['a'])
  expect(await outputOf(task)).toBe('heard a\n')
  expect((await changes(task)).filter((type) => type === 'task.input_required')).toHaveLength(1)
})

test('G7: the worker dies while its task waits, the next one adopts it, and the answer reaches the agent', async () => {
  const dying = await stack.workerProcess('dying')
  const task = await stack.submit(`echo begun; ${QUESTION}`)
  await waitFor(async () => (await stack.types(task.id)).includes('task.output'), { what: 'the agent to begin' })
  dying.kill('SIGKILL')
  await worker()
  const input = await untilAsked(task)
  await answer(task, input, ['b'])
  expect(await outputOf(task)).toBe('begun\nheard b\n')
  expect(await changes(task)).toContain('task.adopted')
})

test('G12: all workers stop while a task waits, somebody answers, and a new worker goes on with it', async () => {
  const first = await worker()
  const task = await stack.submit(`if [ -e notes ]; then cat notes; else ${QUESTION}; fi`)
  const input = await untilAsked(task)
  await first.stop()
  expect(await stack.get(task.id)).toMatchObject({ state: 'input_required', asking: 1 })
  expect(await answer(task, input, ['a'])).toMatchObject({ outcome: 'answered', task: { state: 'queued' } })
  await worker()
  expect(await outputOf(task)).toContain('The answer (from op): a')
})

test('G9: waiting costs no time, and the limit holds for the rest', async () => {
  await worker()
  const task = await stack.submit(`${QUESTION}; sleep 100`, { timeout_ms: 4_000 })
  const input = await untilAsked(task)
  const waited = await stack.until(task.id, 'input_required')
  await waitFor(async () => Number((await stack.redis.time())[0]) * 1_000 > (waited.waiting_at ?? Infinity) + 5_000, { what: 'more than its time limit to pass' })
  expect(await stack.get(task.id)).toMatchObject({ state: 'input_required' })
  await answer(task, input, ['a'])
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'timeout', limit: 'timeout_ms' })
})

test('G9: a question that comes when little time is left waits as any other: nothing is begun again before there is an answer', async () => {
  await worker()
  const task = await stack.submit(`if [ -e notes ]; then cat notes; else ${QUESTION}; fi`, { timeout_ms: 5_000 })
  const input = await untilAsked(task)
  // The watchdog of its execution would end it long before the grace is over.
  await waitFor(async () => (await stack.get(task.id)).worker === undefined, { what: 'the slot to be free', timeoutMs: 15_000 })
  expect(await stack.get(task.id)).toMatchObject({ state: 'input_required', handle: { checkpoint: true } })
  await answer(task, input, ['b'])
  expect(await outputOf(task)).toMatch(/The answer \(from op\): b/)
})

test('what fails after a wait is tried again: the time in which nobody answered does not count', async () => {
  await stack.worker({ inputs: RULES, backends: [createShellBackend('docker', stack.root, { capabilities: { ask: true } })] })
  const task = await stack.submit(`if mkdir ${stack.root}/tried; then ${QUESTION}; exit 75; else echo again; fi`, { timeout_ms: 5_000 })
  const input = await untilAsked(task)
  const { waiting_at = Infinity } = await stack.until(task.id, 'input_required')
  await waitFor(async () => Number((await stack.redis.time())[0]) * 1_000 > waiting_at + 6_000, { what: 'more than its time limit to pass' })
  await answer(task, input, ['a'])
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'completed', attempt: 2 })
})

test('G3: a waiting task is cancelled at once, with its agent', async () => {
  await worker()
  const task = await stack.submit(QUESTION)
  await untilAsked(task)
  expect(await stack.ledger.cancel(task.id, 'op')).toMatchObject({ outcome: 'requested' })
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'cancelled' })
})

test('what nobody answers in time is answered by the policy, and the agent goes on', async () => {
  await worker({ ttlMs: 300, unanswered: 'allow' })
  const task = await stack.submit(asking('p1', 'ls', 'permission'), { permissions: { sh: 'ask' } })
  expect(await outputOf(task)).toBe('heard allow\n')
  expect((await stack.events(task.id)).flatMap((event) => (event.known && event.type === 'task.input_answered' ? [event.payload] : []))).toMatchObject([{ by: 'policy', why: 'expired', answer: 'allow' }])
})

test('G7: a session that is lost while its worker lives does not lose what it had asked: the answer reaches the agent', async () => {
  await worker()
  const task = await stack.submit(`if [ -e notes ]; then ${HEARS}; else ${QUESTION}; fi`)
  const input = await untilAsked(task)
  process.kill(-Number(await readFile(`${stack.root}/${task.id}-1/pid`, 'utf8')), 'SIGKILL')
  await waitFor(async () => (await stack.types(task.id)).includes('task.resumed'), { what: 'the session to go on' })
  expect(await stack.until(task.id, 'running')).toMatchObject({ asking: 1, deadline_at: expect.any(Number) as number })
  expect(await answer(task, input, ['b'])).toMatchObject({ outcome: 'answered' })
  expect(await outputOf(task)).toMatch(/You asked: Which\?.*The answer \(from op\): b/)
})

test('an answer for which nobody waits any more is told in words, not lost', async () => {
  await worker({}, { through: (asks) => asks.map((ask) => ({ ...ask, answer: () => Promise.resolve('gone' as const) })) })
  const task = await stack.submit(`echo 'q1|question|Which?|a,b' >> asks; ${HEARS}`)
  await answer(task, await untilAsked(task), ['b'])
  expect(await outputOf(task)).toMatch(/The answer \(from op\): b/)
})

test('G12: an answer that comes before the next owner has heard what the agent waits for reaches it once, where it waits', async () => {
  const first = await worker()
  const task = await stack.submit(`${QUESTION}; if [ -e mail ]; then cat mail; fi`)
  const input = await untilAsked(task)
  await worker({}, { name: 'next', through: (asks) => sleep(1_000, asks) }) // a server that is slow to say what its agents wait for
  await stack.untilThere('next')
  await first.stop()
  await waitFor(async () => (await stack.types(task.id)).includes('task.adopted'), { what: 'the next owner' })
  await answer(task, input, ['b'])
  expect(await outputOf(task)).toBe('heard b\n')
})

test('an answer that waits for others before it goes to the agent does not keep the slot, and is not lost with the session', async () => {
  await worker({ graceMs: 200 }, { through: (asks) => asks.map((ask) => ({ ...ask, answer: () => Promise.resolve('kept' as const) })) })
  const task = await stack.submit(`if [ -e notes ]; then cat notes; else echo 'q1|question|Which?|a,b' >> asks; ${asking('q2', 'And?', ['c'])}; fi`)
  await waitFor(async () => (await stack.get(task.id)).asking === 2, { what: 'both questions' })
  const [first, second] = await stack.ledger.inputs(task.id)
  await answer(task, first as StoredInput, ['b'])
  await waitFor(async () => (await stack.get(task.id)).worker === undefined, { what: 'the slot to be free' })
  await answer(task, second as StoredInput, ['c'])
  expect(await outputOf(task)).toMatch(/The answer \(from op\): b[^]*The answer \(from op\): c/)
})

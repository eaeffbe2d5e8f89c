import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type Mail, MessageType, type Task } from '@longshore/contracts'

import { textOf } from './mailbox.ts'
import { createShellBackend, type ShellBackendOptions } from './testing/shell-backend.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

const mail = (message_id: string, text = `hear ${message_id}`): Mail => ({ message_id, message_type: 'guidance', by: 'op', text })
const worker = (options: ShellBackendOptions = {}, concurrency = 1) =>
  stack.worker({ concurrency, backends: [createShellBackend('docker', stack.root, { ...options, capabilities: { steer: true, ...options.capabilities } })] })
const said = async ({ id }: Task) => (await stack.events(id)).map((event) => (event.known && event.type === 'task.output' ? event.payload.text : '')).join('')
const untilSaid = (task: Task, words: string) => waitFor(async () => (await said(task)).includes(words), { what: `"${words}" to be said` })
const deliveries = async ({ id }: Task) => (await stack.events(id)).flatMap((event) => (event.known && event.type === 'task.message_delivered' ? [event.payload.message_id] : []))
/** Says what it is told until it is told to end, and goes on behind that when it is started again. */
const LISTENER = 'touch mail; echo begun; while ! grep -q "end now" mail; do sleep 0.05; done; cat mail'
const resume = async ({ id }: Task) => {
  const answer = await stack.ledger.resume(id, 'op')
  if (answer?.ticket !== undefined) await stack.producer.add(answer.ticket)
  return answer
}

describe('pause', () => {
  test('stops a running task, frees its slot, and a resume goes on in the same attempt', async () => {
    await worker()
    const task = await stack.submit('if [ -e half ]; then echo second half; else touch half; echo begun; sleep 100; fi')
    const next = await stack.submit('echo the slot is free')
    await untilSaid(task, 'begun')
    expect(await stack.ledger.pause(task.id, 'op', 'for the night')).toMatchObject({ outcome: 'requested' })
    await stack.until(next.id, 'completed')
    expect(await stack.get(task.id)).toMatchObject({ state: 'paused', handle: { checkpoint: true } })
    expect(await resume(task)).toMatchObject({ outcome: 'resumed' })
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, result: { output: 'begun\nsecond half\n' } })
    expect((await stack.types(task.id)).filter((type) => type !== 'task.output')).toEqual(['task.queued', 'task.started', 'task.paused', 'task.queued', 'task.resumed', 'task.completed'])
  })

  test('survives the end of every worker: another one resumes it', async () => {
    const first = await worker()
    const task = await stack.submit('if [ -e half ]; then echo second half; else touch half; echo begun; sleep 100; fi')
    await untilSaid(task, 'begun')
    await stack.ledger.pause(task.id, 'op')
    await stack.until(task.id, 'paused')
    await first.stop()
    await worker()
    await resume(task)
    expect(await stack.until(task.id, 'completed')).toMatchObject({ attempt: 1, result: { output: 'begun\nsecond half\n' } })
  })

  test('that waits with a task whose worker died is carried out by the next owner', async () => {
    const dying = await stack.workerProcess('dying')
    const task = await stack.submit('echo begun; sleep 100')
    await untilSaid(task, 'begun')
    dying.kill('SIGKILL')
    await dying.exited
    await stack.ledger.pause(task.id, 'op')
    await worker()
    await stack.until(task.id, 'paused')
    expect(await stack.types(task.id)).not.toContain('task.adopted')
  })

  test('a place that does not stop the agent at once is asked again; one that does not at all keeps the wish, and the task is not called paused', async () => {
    let refusals = 0
    const shell = createShellBackend('docker', stack.root)
    const stubborn = (most: number) => ({ ...shell, checkpoint: async (...args: Parameters<typeof shell.checkpoint>) => {
      refusals += 1
      if (refusals <= most) throw new Error('the engine does not answer')
      await shell.checkpoint(...args)
    } })
    const first = await stack.worker({ backends: [stubborn(2)] })
    const [one, other] = [await stack.submit('echo begun; sleep 300'), await stack.submit('echo begun; sleep 300')]
    await Promise.all([one, other].map((task) => untilSaid(task, 'begun')))
    await stack.ledger.pause(one.id, 'op')
    await stack.until(one.id, 'paused')
    expect(refusals).toBe(3)
    refusals = -Infinity
    await first.stop()
    refusals = 0
    await stack.worker({ name: 'stubborn', backends: [stubborn(Infinity)] })
    await waitFor(async () => (await stack.get(other.id)).worker === 'stubborn', { what: 'the other task to be taken' })
    await stack.ledger.pause(other.id, 'op')
    await waitFor(async () => (await stack.types(other.id)).filter((type) => type === 'task.queued').length > 2, { what: 'the task to be given back' })
    expect(await stack.get(other.id)).toMatchObject({ pause_requested: { by: 'op' } })
    expect(await stack.types(other.id)).not.toContain('task.paused')
  })

  test('of a run that completes in that very moment lets it be completed', async () => {
    const shell = createShellBackend('docker', stack.root)
    const end = Promise.withResolvers<void>()
    // Its last words are there before it is told to let go, and it says so right after.
    await stack.worker({ backends: [{ ...shell, start: async (task, run) => {
      const execution = await shell.start(task, run)
      run.signal.addEventListener('abort', () => end.resolve())
      return { ...execution, outcome: end.promise.then(() => ({ kind: 'completed' as const, result: { output: 'done', output_truncated: false, files_changed: 0 } })) }
    } }] })
    const task = await stack.submit('echo begun')
    await untilSaid(task, 'begun')
    await stack.ledger.pause(task.id, 'op')
    expect(await stack.untilOver(task.id)).toMatchObject({ state: 'completed', result: { output: 'done' } })
  })

  test('and a cancel behind it: the task is over, and nothing of it is left', async () => {
    await worker()
    const task = await stack.submit('echo begun; sleep 100')
    await untilSaid(task, 'begun')
    await stack.ledger.pause(task.id, 'op')
    await stack.until(task.id, 'paused')
    expect(await stack.ledger.cancel(task.id, 'op')).toMatchObject({ outcome: 'ended' })
    await waitFor(async () => (await stack.ledger.debts(10)).length === 0, { what: 'the debt to be struck' })
  })
})

describe('messages', () => {
  test('reach the running agent in their order, once each, and the log says when', async () => {
    await worker()
    const task = await stack.submit(LISTENER)
    await untilSaid(task, 'begun')
    for (const one of [mail('m1'), mail('m2'), mail('m3', 'end now')]) await stack.ledger.post(task.id, one)
    const over = await stack.until(task.id, 'completed')
    expect(await deliveries(task)).toEqual(['m1', 'm2', 'm3'])
    expect(over.result?.output.split('\n').slice(1, 4)).toEqual([mail('m1'), mail('m2'), mail('m3', 'end now')].map((one) => textOf(one).replaceAll('\n', ' ')))
    expect(over).not.toHaveProperty('undelivered')
  })

  test('L-20: of all nine types reach the running agent with their type, once each', async () => {
    await worker()
    const task = await stack.submit(LISTENER)
    await untilSaid(task, 'begun')
    const all = MessageType.options.map((message_type): Mail => Object.assign(mail(`of-${message_type}`), { message_type }))
    for (const one of [...all, mail('last', 'end now')]) await stack.ledger.post(task.id, one)
    const over = await stack.until(task.id, 'completed')
    expect(over.result?.output.split('\n').slice(1, 10)).toEqual(all.map((one) => textOf(one).replaceAll('\n', ' ')))
    expect(new Set(all.map((one) => textOf({ ...one, text: '' }))).size).toBe(9)
    expect(await deliveries(task)).toEqual([...all.map(({ message_id }) => message_id), 'last'])
  })

  test('that came while the task was queued or paused wait for it', async () => {
    const task = await stack.submit(LISTENER)
    await stack.ledger.post(task.id, mail('m1'))
    await worker()
    await untilSaid(task, 'begun')
    await waitFor(async () => (await deliveries(task)).length === 1, { what: 'the first message to be delivered' })
    await stack.ledger.pause(task.id, 'op')
    await stack.until(task.id, 'paused')
    await stack.ledger.post(task.id, mail('m2', 'end now'))
    expect(await deliveries(task)).toEqual(['m1'])
    await resume(task)
    await stack.until(task.id, 'completed')
    expect(await deliveries(task)).toEqual(['m1', 'm2'])
  })

  test('are told again to an agent that is started again with a fresh session', async () => {
    await worker({ capabilities: { resume: false } })
    const task = await stack.submit(LISTENER)
    await untilSaid(task, 'begun')
    await stack.ledger.post(task.id, mail('m1'))
    await waitFor(async () => (await deliveries(task)).length === 1, { what: 'the message to be delivered' })
    await stack.ledger.pause(task.id, 'op')
    await stack.until(task.id, 'paused')
    await resume(task)
    await waitFor(async () => (await deliveries(task)).length === 2, { what: 'the message to be delivered again' })
    await stack.ledger.post(task.id, mail('m2', 'end now'))
    await stack.until(task.id, 'completed')
    expect(await deliveries(task)).toEqual(['m1', 'm1', 'm2'])
  })

  test('that the place does not take are brought again, and do not keep a cancel waiting', async () => {
    let refusals = 0
    await worker({ onTell: () => {
      refusals += 1
      if (refusals <= 2) throw new Error('the server does not answer')
    } })
    const task = await stack.submit(LISTENER)
    await untilSaid(task, 'begun')
    await stack.ledger.post(task.id, mail('m1', 'end now'))
    await stack.until(task.id, 'completed')
    expect(refusals).toBe(3)
    expect(await deliveries(task)).toEqual(['m1'])
  })

  test('are brought by the one who adopts, also when the dead owner had brought them', async () => {
    const told: string[] = []
    const dying = await stack.workerProcess('dying')
    const task = await stack.submit(LISTENER)
    await untilSaid(task, 'begun')
    await stack.ledger.post(task.id, mail('m1'))
    dying.kill('SIGKILL')
    await dying.exited
    await worker({ onTell: (id) => told.push(id) })
    await waitFor(async () => (await deliveries(task)).length === 1, { what: 'the message to be delivered' })
    await stack.ledger.post(task.id, mail('m2', 'end now'))
    await stack.until(task.id, 'completed')
    expect(told).toEqual(['m1', 'm2'])
    expect(await stack.types(task.id)).toContain('task.adopted')
  })

  test('are told again where the worker died before it gave back the attempt whose agent had them', async () => {
    const task = await stack.submit(LISTENER)
    const claim = { taskId: task.id, claim: 1 }
    await stack.ledger.take({ task_id: task.id, n: 1 }, 'dead')
    await stack.ledger.post(task.id, mail('m1', 'end now'))
    await stack.ledger.delivered(claim, 'm1')
    await stack.ledger.saveHandle(claim, { v: 1, mode: 'docker', data: { dir: `${stack.root}/gone` }, discard: true })
    await worker()
    await stack.until(task.id, 'completed')
    expect(await deliveries(task)).toEqual(['m1', 'm1'])
  })

  test('that an agent cannot be told are named in its result', async () => {
    await worker({ capabilities: { steer: false } })
    const posted = join(stack.root, 'posted')
    const task = await stack.submit(`echo begun; until [ -e ${posted} ]; do sleep 0.05; done`)
    await untilSaid(task, 'begun')
    await stack.ledger.post(task.id, mail('m1'))
    await writeFile(posted, '')
    expect(await stack.until(task.id, 'completed')).toMatchObject({ undelivered: ['m1'] })
  })
})

describe('budgets', () => {
  const tokens = (n: number) => ({ input_tokens: n, output_tokens: 0, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 })
  const spend = async ({ id }: Task, n: number) => {
    const { claim } = await stack.get(id)
    await stack.ledger.append({ taskId: id, claim }, [{ type: 'task.usage', payload: tokens(n) }])
  }

  test('a task that has used more than it may ends as failed, with what it said so far, and is not tried again', async () => {
    await worker()
    const task = await stack.submit('echo begun; sleep 100', { budget: { tokens: 100 } })
    await untilSaid(task, 'begun')
    await spend(task, 100)
    await spend(task, 1)
    expect(await stack.until(task.id, 'failed')).toMatchObject({ attempt: 1, failure: { code: 'budget', message: 'the task has used 101 tokens of 100' }, result: { output: 'begun\n' }, tokens: 101 })
  })

  test('the running tasks of an agent that has used its day end, those of others go on', async () => {
    await stack.worker({ agentsDay: { tokens: 100 } })
    const [one, two, others] = [await stack.submit('echo begun; sleep 100'), await stack.submit('echo begun; sleep 100'), await stack.submit('echo begun; sleep 1; echo fine', { agent_id: 'agent-b' })]
    await Promise.all([one, two, others].map((task) => untilSaid(task, 'begun')))
    await spend(one, 60)
    await spend(two, 60)
    for (const { id } of [one, two]) expect(await stack.until(id, 'failed')).toMatchObject({ failure: { code: 'budget', message: 'agent-a has used 120 tokens of 100 for today (UTC)' } })
    expect(await stack.until(others.id, 'completed')).toMatchObject({ result: { output: 'begun\nfine\n' } })
  })
})

import { type ScriptedBlock, type ScriptedLetta, sharedRedisUrl, startScriptedLetta, waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { START } from '@longshore/contracts'
import { createHarbour } from '../testing/harbour.ts'
import { startNotifierProcess } from '../testing/notifier-process.ts'
import { ends } from '../testing/world.ts'

async function aWorld(settings: Record<string, string> = {}) {
  const letta = ends(await startScriptedLetta())
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const env = { REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: harbour.deployment, LETTA_API_URL: letta.url, LETTA_API_TOKEN: letta.token, ...settings }
  const agent = letta.agent()
  return { letta, harbour, agent, start: async () => ends(await startNotifierProcess(env)), begin: () => harbour.start({ agent_id: agent, prompt: 'Mend the crane, please' }) }
}

interface Block { status: string; agent_id: string; events: { type: string; message: string; data?: { pruned?: number } }[]; artifacts: { type: string; name: string; content: string }[]; metadata: { state: string; events_total: number; task_description: string } }
const read = (block: ScriptedBlock | undefined): Block => JSON.parse(block?.value ?? '{"events":[]}') as Block
const blocksOf = (letta: ScriptedLetta, taskId: string) => [...letta.blocks.values()].filter(({ label }) => label === `opencode_workspace_${taskId}`)
const alertsTo = (letta: ScriptedLetta, agent: string) => letta.messages(agent).filter(({ message_type: type }) => type === 'system_message').map(({ content }) => JSON.parse(content) as { type: string; message: string; task_id: string; status: string })
const bash = (title: string) => ({ type: 'task.tool', payload: { tool: 'bash', title, status: 'completed' } }) as const

test('L-23: the block follows the task, goes out of the agent\'s memory after a while, and the whole history stays in the log', async () => {
  const { letta, harbour, agent, start, begin } = await aWorld({ LETTA_DETACH_MS: '300' })
  await start()
  const task = await begin()
  await waitFor(() => read(letta.attachedTo(agent)[0]).status === 'running', { what: 'the block of a running task' })
  await harbour.say(task, bash('npm test'))
  await waitFor(() => read(letta.attachedTo(agent)[0]).events.some(({ message }) => message === 'bash: npm test'), { what: 'the step' })
  await harbour.complete(task, 'All green.')
  await waitFor(() => alertsTo(letta, agent).length === 1, { what: 'the message' })
  await waitFor(() => letta.attachedTo(agent).length === 0, { what: 'the block to be detached' })
  const block = read(blocksOf(letta, task.id)[0])
  expect(block).toMatchObject({ version: '1.0.0', task_id: task.id, agent_id: agent, status: 'completed', artifacts: [{ type: 'output', name: 'execution_output', content: 'All green.' }], metadata: { task_description: 'Mend the crane, please', state: 'completed' } })
  expect(block.events.map(({ type }) => type)).toEqual(['task_progress', 'task_started', 'task_progress', 'task_completed'])
  expect(alertsTo(letta, agent)[0]).toMatchObject({ type: 'system_alert', task_id: task.id, status: 'completed', message: expect.stringMatching(/^✅ Completed · Mend the crane\n(.*\n)+> All green\.\nTask task-\w+, status completed/) as string })
  const page = await harbour.ledger.read(task.id, START, 100)
  expect(page?.kind === 'events' && page.events.map(({ type }) => type)).toEqual(['task.queued', 'task.started', 'task.tool', 'task.completed'])
})

test('L-24: with two notifiers one writes, and of 20 steps at once none is lost', async () => {
  const { letta, harbour, agent, start, begin } = await aWorld()
  await Promise.all([start(), start()])
  const task = await begin()
  await Promise.all(Array.from({ length: 20 }, (_, i) => harbour.say(task, bash(`step ${i}`))))
  await harbour.complete(task, 'done')
  await waitFor(() => alertsTo(letta, agent).length === 1, { what: 'the message' })
  expect(blocksOf(letta, task.id)).toHaveLength(1)
  expect(read(blocksOf(letta, task.id)[0]).events.filter(({ message }) => message.startsWith('bash: step')).map(({ message }) => message).toSorted()).toEqual(Array.from({ length: 20 }, (_, i) => `bash: step ${i}`).toSorted())
})

test('L-25, L-26: a block is never over its limit, says how many events are not in it, and changes no outcome', async () => {
  const { letta, harbour, agent, start, begin } = await aWorld({ WORKSPACE_BLOCK_LIMIT: '4000', WORKSPACE_MAX_EVENTS: '10' })
  await start()
  const task = await begin()
  await harbour.say(task, ...Array.from({ length: 30 }, (_, i) => bash(`${i} ${'"\\'.repeat(200)}`)))
  await harbour.complete(task, '🚢"'.repeat(1_300))
  await waitFor(() => alertsTo(letta, agent).length === 1, { what: 'the message' })
  expect(letta.calls.filter(({ status }) => status === 422)).toEqual([])
  const value = blocksOf(letta, task.id)[0]?.value ?? ''
  expect(value.length).toBeLessThanOrEqual(4_000)
  const { events, metadata } = JSON.parse(value) as Block
  // Queued, started, thirty steps, the end.
  expect(metadata.events_total).toBe(33)
  expect(events[0]?.data?.pruned).toBe(33 - (events.length - 1))
  expect((await harbour.ledger.get(task.id))?.state).toBe('completed')
})

test('L-31: a message whose answer was lost is looked for before it is sent again, also by the next notifier', async () => {
  const { letta, harbour, agent, start, begin } = await aWorld()
  const first = await start()
  const task = await begin()
  await waitFor(() => letta.attachedTo(agent).length === 1, { what: 'the block' })
  const isTelling = (method: string, path: string) => method === 'POST' && path.endsWith('/messages')
  // Taken, and the notifier never learns.
  letta.fault = (method, path) => (isTelling(method, path) ? { drop: 'after' } : method === 'GET' ? { status: 503 } : undefined)
  await harbour.complete(task, 'done')
  await waitFor(() => alertsTo(letta, agent).length === 1, { what: 'the message to be taken' })
  await first.kill9()
  letta.fault = () => undefined
  await start()
  await waitFor(async () => (await harbour.outbox('letta')).waiting === 0, { what: 'an empty outbox' })
  expect(alertsTo(letta, agent)).toHaveLength(1)
  expect(blocksOf(letta, task.id)).toHaveLength(1)
})

test('L-11, L-31: while Letta is away, says 409 or 429, tasks end as they end and nothing is lost', async () => {
  const { letta, harbour, agent, start, begin } = await aWorld()
  const faults = [{ drop: 'before' }, { status: 503 }, { status: 409 }, { status: 429, headers: { 'retry-after': '0' } }, { status: 500, after: true }] as const
  let n = 0
  letta.fault = () => faults[n++]
  await start()
  const task = await begin()
  await harbour.complete(task, 'done')
  expect((await harbour.ledger.get(task.id))?.state).toBe('completed')
  await waitFor(() => alertsTo(letta, agent).length > 0, { what: 'the message' })
  // After a 429 the last edit of the block leaves the pace that was learned to what is more urgent: up to nine times five seconds.
  await waitFor(async () => (await harbour.outbox('letta')).waiting === 0, { what: 'an empty outbox', timeoutMs: 90_000 })
  expect(alertsTo(letta, agent)).toHaveLength(1)
  expect(read(blocksOf(letta, task.id)[0]).status).toBe('completed')
  expect((await harbour.outbox('letta')).dead).toBe(0)
}, 150_000)

test('an agent that Letta does not know holds up no other, and those that do not live there are not told of', async () => {
  const { letta, harbour, agent, start, begin } = await aWorld()
  await start()
  const stranger = await harbour.start({ agent_id: 'agent-00000000-0000-4000-8000-000000000000' })
  const local = await harbour.start({ agent_id: 'agent-local' })
  const task = await begin()
  for (const one of [stranger, local, task]) await harbour.complete(one, 'done')
  await waitFor(() => alertsTo(letta, agent).length === 1, { what: 'the message' })
  expect(letta.calls.filter(({ path }) => path.includes('agent-local'))).toEqual([])
  await waitFor(async () => (await harbour.outbox('letta')).dead > 0, { what: 'a dead letter' })
  expect(blocksOf(letta, stranger.id)).toEqual([])
})

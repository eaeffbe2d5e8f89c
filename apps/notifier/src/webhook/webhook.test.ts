import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import type { EventDraft } from '@longshore/contracts'
import { createHarbour } from '../testing/harbour.ts'
import { startNotifierProcess } from '../testing/notifier-process.ts'
import { aSecret, type Received, startReceiver } from '../testing/hook-receiver.ts'
import { ends } from '../testing/world.ts'

async function aWorld(settings: Record<string, string> = {}) {
  const secret = aSecret()
  const receiver = ends(await startReceiver(secret))
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const env = { REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: harbour.deployment, WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: secret, WEBHOOK_TIMEOUT_MS: '400', ...settings }
  return { secret, receiver, harbour, start: async (more: Record<string, string> = {}) => ends(await startNotifierProcess({ ...env, ...more })) }
}

const question: EventDraft = { type: 'task.input_required', payload: { input_id: 'in-1', kind: 'question', question: 'Which?', choices: ['a', 'b'] } }
const typesOf = (received: readonly Received[]) => received.map(({ hook }) => hook.type)

test('G8: each wanted event is posted in order, signed, and in readable form; others are not', async () => {
  const { receiver, harbour, start } = await aWorld()
  await start()
  const task = await harbour.start()
  await harbour.say(task, { type: 'task.tool', payload: { tool: 'bash', title: 'ls', status: 'completed' } }, question)
  await harbour.complete(task, 'done')
  await waitFor(() => receiver.received.length === 2, { what: 'two hooks' })
  expect(typesOf(receiver.received)).toEqual(['task.input_required', 'task.completed'])
  expect(receiver.received[1]?.hook).toMatchObject({ data: { task_id: task.id, agent_id: 'agent-a', title: 'Mend the crane', mode: 'docker', status: 'completed', event: { type: 'task.completed', data: { result: { output: 'done' } } } } })
  expect(receiver.received[1]?.id).toBe(receiver.received[1]?.hook.data.event.id)
})

test('G8: the id stays the same over retries and over SIGKILL of the notifier in mid-send; the timestamp is fresh', async () => {
  const { receiver, harbour, start } = await aWorld()
  const first = await start()
  let isUp = false
  // Hangs: whether it was taken, the notifier never learns.
  receiver.answer = (response) => (isUp ? response.writeHead(200).end('fine') : undefined)
  const task = await harbour.start()
  await harbour.complete(task, 'done')
  await waitFor(() => receiver.received.length >= 2, { what: 'a retry' })
  await first.kill9()
  const before = receiver.received.length
  isUp = true
  await start()
  await waitFor(() => receiver.received.length > before, { what: 'the hook from the next notifier' })
  await waitFor(async () => (await harbour.outbox('webhook')).waiting === 0, { what: 'an empty outbox' })
  expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(1)
  expect(receiver.received.at(-1)?.timestamp).toBeGreaterThan(receiver.received[0]?.timestamp ?? 0)
})

test('hooks to an address of this host that a task named are refused and kept as dead letters; the deployment\'s own arrive', async () => {
  const stranger = ends(await startReceiver(aSecret()))
  const { receiver, harbour, start } = await aWorld({ WEBHOOK_CALLBACK_ALLOW: new URL(stranger.url).origin, WEBHOOK_CALLBACK_SECRET: aSecret() })
  await start()
  const task = await harbour.start({ callback_url: stranger.url })
  await harbour.complete(task, 'done')
  await waitFor(async () => (await harbour.outbox('webhook')).dead === 1, { what: 'the dead letter' })
  await waitFor(() => receiver.received.length === 1, { what: 'the deployment\'s own' })
  expect(stranger.received).toEqual([])
})

test('a receiver that hangs holds up no other, and gets what happened in order once it is back', async () => {
  const { receiver: hanging, secret, harbour, start } = await aWorld()
  const other = ends(await startReceiver(secret))
  hanging.answer = () => undefined
  await start({ WEBHOOK_URL: `${hanging.url}, ${other.url}` })
  const tasks = [await harbour.start(), await harbour.start()] as const
  for (const task of tasks) {
    await harbour.say(task, question)
    await harbour.complete(task, 'done')
  }
  await waitFor(() => other.received.length === 4, { what: 'all of the other' })
  expect(new Set(hanging.received.map(({ id }) => id)).size).toBeLessThanOrEqual(1)
  hanging.answer = (response) => void response.writeHead(204).end()
  await waitFor(async () => (await harbour.outbox('webhook')).waiting === 0, { what: 'an empty outbox' })
  for (const { id } of tasks) {
    const types = hanging.received.filter(({ hook }) => hook.data.task_id === id).map(({ hook }) => hook.type)
    expect(types.filter((type, i) => type !== types[i - 1])).toEqual(['task.input_required', 'task.completed'])
  }
})

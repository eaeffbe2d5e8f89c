import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { conversationKey, openSharedDirectory } from '@longshore/blobs'
import { type EventDraft, NewTask, type Task, type TaskId, taskIdFrom } from '@longshore/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient, type TestClient } from './mcp-clients.ts'

let fixture: GatewayFixture
let blobs: string
let [alice, bob]: TestClient[] = []
beforeAll(async () => {
  blobs = await mkdtemp(join(tmpdir(), 'longshore-archive-'))
  fixture = await startGatewayFixture({ BLOBS_DIR: blobs })
  alice = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  bob = await connectClient('1.x client', fixture.url, fixture.keys.bob)
})
afterAll(async () => {
  await Promise.all([alice?.close(), bob?.close()])
  await fixture.stop()
  await rm(blobs, { recursive: true })
})

let count = 0
const PROMPT = 'Do it\u001B[31m\n```'
/** A task of alice's that runs and has said all this. */
async function running(...drafts: EventDraft[]): Promise<Task> {
  count += 1
  const id = taskIdFrom(new Uint8Array(52).fill(count))
  await fixture.ledger.submit(NewTask.parse({ id, agent_id: 'agent-alice', prompt: PROMPT, title: 'x', mode: 'docker', timeout_ms: 1_000 }))
  const take = await fixture.ledger.take({ task_id: id, n: 1 }, 'w1')
  if (take.kind !== 'taken') throw new Error(take.reason)
  await fixture.ledger.append({ taskId: id, claim: take.task.claim }, drafts)
  return take.task
}
const end = async ({ id, claim }: Task, how: 'timeout' | 'completed' = 'completed'): Promise<TaskId> => {
  const result = { output: 'done', output_truncated: false, files_changed: 0 }
  await fixture.ledger.end({ taskId: id, claim }, how === 'timeout' ? { state: 'timeout', payload: { limit: 'timeout_ms', limit_ms: 1_000 } } : { state: 'completed', payload: { result } })
  return id
}
const call = (name: string, args: Record<string, unknown>, client = alice) => callOk(client as TestClient, name, args)
const refused = (name: string, args: Record<string, unknown>, client = alice) => callRefused(client as TestClient, name, args)
const files = async () => (await readdir(blobs, { recursive: true })).filter((name) => name.includes('.conversation'))

const TALK: EventDraft[] = [
  { type: 'task.output', payload: { text: 'I look <b>around</b>', stream: 'agent' } },
  { type: 'task.tool', payload: { tool: 'bash', title: 'ls', status: 'completed', output: 'a.txt' } },
  { type: 'task.input_required', payload: { input_id: 'input-0123456789abcdef', kind: 'question', question: 'Which one?', choices: ['a', 'b'] } },
  { type: 'task.input_answered', payload: { input_id: 'input-0123456789abcdef', answer: 'a', by: 'ann' } },
  { type: 'task.usage', payload: { input_tokens: 1, output_tokens: 1, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 1 } },
]

test('L-27: the conversation of a task that timed out is archived after its end, without a worker, once, and read', async () => {
  const task = await running(...TALK)
  await fixture.ledger.post(task.id, { message_id: 'msg-1', message_type: 'guidance', by: 'agent-alice', text: 'take a' })
  await end(task, 'timeout')
  const first = await call('archive_task_conversation', { task_id: task.id, summary: 'It "took" too long' })
  expect(first).toMatchObject({ outcome: 'archived', archive_location: `/api/tasks/${task.id}/conversation`, archived_by: 'agent-alice', summary: 'It "took" too long', archived_at: expect.stringMatching(/^2\d{3}-.*Z$/) as string })
  // Prompt, queued, started, four of the talk, the message, the end: usage is no part of what was said.
  expect(first['message_count']).toBe(9)
  const read = await call('get_task_conversation', { task_id: task.id })
  expect(read['messages']).toMatchObject([
    { role: 'user', kind: 'prompt', by: 'agent-alice', text: PROMPT }, { kind: 'queued' }, { kind: 'started' }, { role: 'agent', text: 'I look <b>around</b>' }, { role: 'tool', by: 'bash', data: { output: 'a.txt' } },
    { role: 'agent', kind: 'input_required', text: 'Which one?' }, { role: 'user', by: 'ann', text: 'a' }, { role: 'user', kind: 'message', text: 'take a' }, { role: 'system', kind: 'timeout', data: { undelivered: ['msg-1'] } },
  ])
  expect(read).toMatchObject({ has_more: false, next_offset: 9, message_count: 9 })
  const { at: _, ...again } = { at: 0, ...await call('archive_task_conversation', { task_id: task.id, summary: 'another' }) }
  expect(again).toEqual({ ...first, outcome: 'unchanged' })
  expect(await files()).toHaveLength(1)
  expect(await fixture.ledger.get(task.id)).toMatchObject({ state: 'timeout', archived: { by: 'agent-alice', messages: 9 } })
})

test('it is read in parts, and over HTTP it is one JSON document', async () => {
  const id = await end(await running(...Array.from({ length: 30 }, (_, n) => ({ type: 'task.output' as const, payload: { text: `line ${n}\n],"x":`, stream: 'agent' as const } }))))
  await call('archive_task_conversation', { task_id: id })
  const texts: unknown[] = []
  for (let offset = 0, hasMore = true; hasMore;) {
    const page = await call('get_task_conversation', { task_id: id, offset, limit: 7 })
    texts.push(...(page['messages'] as { text: string }[]).map(({ text }) => text))
    offset = page['next_offset'] as number
    hasMore = page['has_more'] as boolean
  }
  const reply = await fixture.request(`/api/tasks/${id}/conversation`)
  expect([reply.headers.get('content-disposition'), reply.headers.get('x-content-type-options')]).toEqual([`attachment; filename="${id}.conversation.json"`, 'nosniff'])
  const document = await reply.json() as { messages: { text: string }[]; message_count: number; task: object; truncated: boolean }
  expect(document).toMatchObject({ v: 1, message_count: 34, truncated: false, task: { task_id: id, status: 'completed' } })
  expect(document.messages.map(({ text }) => text)).toEqual(texts)
})

test('many at once make one archive, and leave one document', async () => {
  const id = await end(await running(...TALK))
  const before = (await files()).length
  const answers = await Promise.all(Array.from({ length: 8 }, () => call('archive_task_conversation', { task_id: id })))
  expect(new Set(answers.map(({ archived_at }) => archived_at)).size).toBe(1)
  expect(answers.filter(({ outcome }) => outcome === 'archived')).toHaveLength(1)
  expect((await files()).length).toBe(before + 1)
})

test('what cannot be archived or read is refused with what to do instead', async () => {
  const task = await running()
  expect(await refused('archive_task_conversation', { task_id: task.id })).toMatchObject({ code: 'not_supported', message: expect.stringContaining('running') as string, next: expect.stringContaining('export_task') as string })
  await end(task)
  expect(await refused('get_task_conversation', { task_id: task.id })).toMatchObject({ code: 'file_not_found', next: expect.stringContaining('archive_task_conversation') as string })
  expect(await refused('archive_task_conversation', { task_id: task.id, summary: 'x'.repeat(4_001) })).toMatchObject({ code: 'invalid_input', field: 'summary' })
  expect(await refused('archive_task_conversation', { task_id: task.id, summary: '\uD800' })).toMatchObject({ code: 'invalid_input', field: 'summary' })
})

test('G11: of another\'s task nothing is archived nor read, as of none', async () => {
  const id = await end(await running())
  await call('archive_task_conversation', { task_id: id })
  for (const tool of ['archive_task_conversation', 'get_task_conversation']) expect(await refused(tool, { task_id: id }, bob)).toMatchObject({ code: 'task_not_found' })
  expect((await fixture.request(`/api/tasks/${id}/conversation`, { key: fixture.keys.bob })).status).toBe(404)
})

test('what was collected says so; a store that lost it says which setting is to be looked at', async () => {
  const [gone, lost] = [await end(await running()), await end(await running())]
  for (const id of [gone, lost]) await call('archive_task_conversation', { task_id: id, summary: '"gone":{"at":1' })
  await fixture.ledger.saveArchiveGone(gone, 'retention')
  expect(await refused('get_task_conversation', { task_id: gone })).toMatchObject({ code: 'file_not_found', message: expect.stringMatching(/was removed on 2\d{3}-.*ARCHIVE_RETENTION_DAYS/) as string })
  await openSharedDirectory(blobs).delete(conversationKey(lost, (await fixture.ledger.get(lost))?.archived?.edition ?? ''))
  expect(await refused('get_task_conversation', { task_id: lost })).toMatchObject({ code: 'unavailable', message: expect.stringContaining('BLOBS_DIR') as string })
})

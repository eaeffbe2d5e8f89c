import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeNeeding } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { keptKey, openSharedDirectory } from '@longshore/blobs'
import type { EventDraft, Task } from '@longshore/contracts'
import { keysOf } from '@longshore/ledger'
import { createOutbox } from '../outbox/outbox.ts'
import { type Homeserver, saidIn, startHomeserver } from '../testing/homeserver.ts'
import { aWorld, completionsOf, ends, eventually, fieldOf, isEdit, relationOf, rootsOf } from '../testing/world.ts'
import { TASK_FIELD } from './content.ts'

const question: EventDraft = {
  type: 'task.input_required',
  payload: { input_id: `input-${'0'.repeat(16)}`, kind: 'question', question: 'Which colour? @room', choices: ['red', '<b>green</b>'], free_text: true },
}
const answered: EventDraft = { type: 'task.input_answered', payload: { input_id: `input-${'0'.repeat(16)}`, answer: 'red', by: 'matrix:@ann:hs' } }

describeNeeding('synapse', 'in a task\'s thread', () => {
  let server: Homeserver
  beforeAll(async () => { server = await startHomeserver() })
  afterAll(() => server.stop())

  test('a question pings those who observe, says how to answer, and becomes its answer', async () => {
    const ann = await server.person('ann')
    const { harbour, start, said } = await aWorld(server, { MATRIX_DEFAULT_HUMAN_OBSERVERS: ann.userId })
    await start()
    const task = await harbour.start()
    await harbour.say(task, question)
    const questions = async () => (await said(task)).filter((event) => fieldOf(event).kind === 'question')
    const [asked] = await eventually(questions, (all) => all.length > 0, 'the question')
    const [root] = rootsOf(await said(task))
    expect(asked?.content).toMatchObject({
      msgtype: 'm.text', 'm.mentions': { user_ids: [ann.userId] }, 'm.relates_to': { rel_type: 'm.thread', event_id: root?.event_id },
      [TASK_FIELD]: { v: 1, task_id: task.id, kind: 'question', status: 'input_required', input_id: `input-${'0'.repeat(16)}` },
    })
    expect(asked?.content['body']).toContain('2️⃣ <b>green</b>')
    expect(asked?.content['formatted_body']).toContain('2️⃣ &lt;b&gt;green&lt;/b&gt;')
    await harbour.say(task, answered)
    const [, edit] = await eventually(questions, (all) => all.length > 1, 'the answer')
    expect(edit?.content).toMatchObject({ 'm.mentions': {}, 'm.relates_to': { rel_type: 'm.replace', event_id: asked?.event_id } })
    expect(edit?.content['m.new_content']).toMatchObject({ 'm.mentions': {} })
    expect(edit?.content['body']).toMatch(/💬 Answered[^]*→ red[^]*By @ann:hs/)
  })

  test('turns of events are told, steps are not', async () => {
    const { harbour, start, said } = await aWorld(server)
    await start()
    const task = await harbour.start()
    await harbour.say(
      task, { type: 'task.tool', payload: { tool: 'bash', title: 'ls', status: 'completed' } }, { type: 'task.adopted', payload: { attempt: 1, claim: 2, worker: 'w2' } },
      { type: 'task.message', payload: { message_id: 'msg-1', message_type: 'update', by: 'agent-a', text: 'Use the blue one' } },
    )
    await harbour.complete(task, 'done')
    const all = await eventually(() => said(task), (events) => completionsOf(events).length > 0 && events.filter((event) => fieldOf(event).kind === 'detail').length > 1, 'the completion and two details')
    const details = all.filter((event) => fieldOf(event).kind === 'detail')
    expect(details.map(({ content }) => [content['msgtype'], String(content['body']).split('\n')[0]])).toEqual([
      ['m.notice', '🔧 Its worker was lost; w2 took over. The run goes on, nothing is lost.'], ['m.notice', '✉️ To the agent, from agent-a'],
    ])
    expect(details.every((event) => relationOf(event)?.event_id === rootsOf(all)[0]?.event_id)).toBe(true)
  })

  test('patch and full log of an ended task are files, from the blob store, once they are kept there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'longshore-blobs-'))
    ends({ stop: () => rm(folder, { recursive: true }) })
    const { harbour, start, said, bot } = await aWorld(server, { BLOBS_DIR: folder })
    const notifier = await start()
    const task = await harbour.start()
    await harbour.complete(task, 'done')
    await eventually(() => said(task), (events) => completionsOf(events).length > 0, 'the completion')
    expect((await said(task)).filter((event) => fieldOf(event).kind === 'file')).toEqual([])
    await keep(folder, task, { output: `the whole log\n${'x'.repeat(10_000)}`, diff: `${JSON.stringify({ path: 'a', change: 'modified', patch: '--- a\n+++ b\n' })}\n` })
    await harbour.redis.hset(keysOf(harbour.deployment).task(task.id), 'kept', JSON.stringify({ at: 1, bytes: 100, edition: 'e1' }))
    const files = await eventually(async () => (await said(task)).filter((event) => fieldOf(event).kind === 'file'), (all) => all.length === 2, 'two files')
    expect(files.map(({ content }) => [content['msgtype'], content['filename']]).toSorted(([, a], [, b]) => String(a).localeCompare(String(b)))).toEqual([['m.file', `${task.id}.log`], ['m.file', `${task.id}.patch`]])
    const log = files.find(({ content }) => content['filename'] === `${task.id}.log`)
    const bytes = await fetch(`${server.baseUrl}/_matrix/client/v1/media/download/${String(log?.content['url']).slice('mxc://'.length)}`, { headers: { authorization: `Bearer ${bot.token}` } })
    expect(await bytes.text()).toContain('the whole log')
    expect(log?.content['info']).toMatchObject({ mimetype: 'text/plain', size: 10_014 })
    expect(notifier.output()).not.toContain('"level":"error"')
  })

  test('a reply stands beside what it answers, and a notifier without a blob store says so', async () => {
    const { harbour, start, room, said, bot } = await aWorld(server)
    await start()
    const task = await harbour.start()
    const [root] = await eventually(() => said(task), (all) => all.length > 0, 'the card')
    const outbox = createOutbox({ redis: harbour.redis, deployment: harbour.deployment, sink: 'matrix' })
    await outbox.say({ id: 'c1', room: await room(), reply_to: root?.event_id ?? '', thread_root: root?.event_id ?? '', plain: 'Paused.', html: 'Paused.' })
    const reply = async () => (await saidIn(bot.client, await room())).find((event) => event.content['body'] === 'Paused.')
    const found = await eventually(reply, (event) => event !== undefined, 'the reply')
    expect(found?.content).toMatchObject({ msgtype: 'm.notice', 'm.mentions': {}, 'm.relates_to': { rel_type: 'm.thread', event_id: root?.event_id, is_falling_back: false, 'm.in_reply_to': { event_id: root?.event_id } } })
    await harbour.complete(task, 'done')
    const all = await eventually(() => said(task), (events) => completionsOf(events).length > 0, 'the completion')
    expect(completionsOf(all)[0]?.content['body']).toContain('this notifier has no BLOBS_DIR')
    expect(all.filter((event) => isEdit(event) || fieldOf(event).kind === 'file').every((event) => fieldOf(event).kind !== 'file')).toBe(true)
  })
})

/** As a worker keeps it (decision 0017): the manifest last. */
async function keep(folder: string, task: Task, blobs: { output: string; diff: string }): Promise<void> {
  const store = openSharedDirectory(folder)
  const put = async (what: 'output' | 'diff' | 'manifest', text: string) => store.put(keptKey(task.id, 'e1', what), (async function* () { yield Buffer.from(text) })())
  const [output, diff] = [await put('output', blobs.output), await put('diff', blobs.diff)]
  await put('manifest', JSON.stringify({
    v: 1, task_id: task.id, edition: 'e1', blobs: { output, diff }, notes: {}, tree: { entries: 0, truncated: false, left_out: 0, left_out_bytes: 0 }, diff: { files_total: 1, truncated: false },
  }))
}

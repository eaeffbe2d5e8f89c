import { describeNeeding, startRedis, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'

import type { EventDraft } from '@longshore/contracts'
import { type Homeserver, startHomeserver } from '../testing/homeserver.ts'
import { isSend, startProxy } from '../testing/proxy.ts'
import { aWorld, completionsOf, ends, eventually, fieldOf, isEdit, rootsOf } from '../testing/world.ts'

const bash = (title: string): EventDraft => ({ type: 'task.tool', payload: { tool: 'bash', title, status: 'completed' } })
const ready = async (port: number) => (await fetch(`http://127.0.0.1:${port}/ready`)).json() as Promise<{ ready: boolean; checks: { name: string; ok: boolean; detail: string }[] }>

describeNeeding('synapse', 'trouble with Matrix', () => {
  let server: Homeserver
  beforeAll(async () => { server = await startHomeserver() })
  afterAll(() => server.stop())

  test('a wrong token stops the lane with an alert and keeps the outbox; the right one sends it', async () => {
    const { harbour, start, said } = await aWorld(server)
    const task = await harbour.start()
    const wrong = await start({ MATRIX_ACCESS_TOKEN: 'syt_wrong' })
    await harbour.complete(task, 'done')
    await eventually(() => Promise.resolve(wrong.output()), (output) => output.includes('"alert":"blocked"') && output.includes('MATRIX_ACCESS_TOKEN'), 'the alert')
    await eventually(() => harbour.outbox('matrix'), ({ waiting }) => waiting === 2, 'card and completion in the outbox')
    expect(wrong.output()).not.toContain('syt_wrong')
    expect((await ready(wrong.port())).checks).toContainEqual(expect.objectContaining({ name: 'matrix', ok: false }))
    await wrong.stop()
    await start()
    const all = await eventually(() => said(task), (events) => completionsOf(events).length > 0, 'the completion')
    expect([rootsOf(all).length, completionsOf(all).length]).toEqual([1, 1])
  })

  test('a token of somebody else is an alert too: we would not know our own posts again', async () => {
    const { harbour, start } = await aWorld(server)
    await harbour.submit()
    const notifier = await start({ MATRIX_ACCESS_TOKEN: (await server.person('eve')).token })
    await eventually(() => Promise.resolve(notifier.output()), (output) => output.includes('belongs to @eve'), 'the alert')
    expect((await harbour.outbox('matrix')).waiting).toBe(1)
  })

  test('a homeserver that is away, broken or answers nonsense gets the same again, once it is back', async () => {
    const proxy = ends(await startProxy(server.baseUrl))
    const { harbour, start, said } = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    await start()
    let refused = 0
    const faults = ['drop', { status: 502, body: '<html>Bad gateway</html>' }, { status: 500, body: '{"errcode":"M_UNKNOWN"}' }, { status: 200, body: '"nonsense"' }] as const
    proxy.hook = async (call, pass) => (isSend(call) ? faults[refused++] : undefined) ?? pass()
    const task = await harbour.start()
    await harbour.complete(task, 'done')
    const all = await eventually(() => said(task), (events) => completionsOf(events).length > 0, 'the completion')
    expect(refused).toBeGreaterThan(faults.length)
    expect([rootsOf(all).length, completionsOf(all).length]).toEqual([1, 1])
  })

  test('a homeserver that goes down in the middle of many sends gets each of them once', async () => {
    const { harbour, start, said } = await aWorld(server)
    await start()
    const tasks = await Promise.all(Array.from({ length: 40 }, () => harbour.start()))
    await eventually(() => harbour.outbox('matrix'), ({ waiting }) => waiting > 5 && waiting < 38, 'to be in the middle of it')
    await server.halt()
    for (const task of tasks) await harbour.complete(task, 'done')
    await server.restart()
    await eventually(() => harbour.outbox('matrix'), ({ waiting }) => waiting === 0, 'an empty outbox', 60_000)
    const all = await said()
    expect([rootsOf(all).length, completionsOf(all).length]).toEqual([40, 40])
    expect(new Set(completionsOf(all).map((event) => fieldOf(event).task_id)).size).toBe(40)
  })

  test('a body that is refused becomes the bare fact; a fact that is refused is a dead letter and holds up nothing', async () => {
    const proxy = ends(await startProxy(server.baseUrl))
    const { harbour, start, said } = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    const [first, second] = [await harbour.start(), await harbour.start()]
    const tooLarge = { status: 413, body: '{"errcode":"M_TOO_LARGE","error":"event too large"}' }
    let sends = 0
    proxy.hook = (call, pass) => {
      if (!isSend(call)) return pass()
      sends += 1
      // The first card's body, then the second card's body and its bare fact.
      return [1, 3, 4].includes(sends) ? Promise.resolve(tooLarge) : pass()
    }
    await start()
    const bare = await eventually(() => said(first), (all) => all.length === 1, 'the bare card')
    expect(bare[0]?.content['body']).toBe(`${first.id}: running`)
    await eventually(() => harbour.outbox('matrix'), ({ dead }) => dead === 1, 'the dead letter')
    await harbour.complete(second, 'done')
    const all = await eventually(() => said(second), (events) => completionsOf(events).length === 1, 'the completion')
    expect(completionsOf(all)).toHaveLength(1)
  })

  test('a chatty task makes few edits, and the last one shows the end', async () => {
    const { harbour, start, said } = await aWorld(server)
    await start()
    const task = await harbour.start()
    await Promise.all(Array.from({ length: 200 }, (_, i) => harbour.say(task, bash(`step ${i}`), { type: 'task.output', payload: { text: `words ${i}`, stream: 'agent' } })))
    await harbour.complete(task, 'done')
    const all = await eventually(() => said(task), (events) => events.some((event) => fieldOf(event).kind === 'card' && fieldOf(event).status === 'completed'), 'the last card')
    expect(all.length).toBeLessThan(10)
    expect(all.findLast((event) => fieldOf(event).kind === 'card')?.content['body']).toContain('200 steps')
  })

  test('Redis killed and started again loses no notice and repeats none', async () => {
    const redis = ends(await startRedis({ aof: 'always' }))
    const { harbour, start, said } = await aWorld(server, {}, redis.url)
    await start()
    const tasks = [await harbour.start(), await harbour.start(), await harbour.start()]
    await eventually(() => said(), (all) => all.length > 0, 'a card')
    for (const task of tasks) await harbour.complete(task, 'done')
    await redis.kill9()
    await redis.restart()
    const all = await eventually(() => said(), (events) => completionsOf(events).length >= 3 && events.filter((event) => isEdit(event) && fieldOf(event).status === 'completed').length >= 1, 'all completions')
    await eventually(() => harbour.outbox('matrix'), ({ waiting }) => waiting === 0, 'an empty outbox')
    const ids = tasks.map((task) => task.id).sort()
    expect(completionsOf(all).map((event) => fieldOf(event).task_id).sort()).toEqual(ids)
    expect(rootsOf(all).map((event) => fieldOf(event).task_id).sort()).toEqual(ids)
  })
})

describeNeeding('synapse', 'the rate limits that a homeserver ships', () => {
  test('ten busy tasks make no storm of refusals, and all their endings are told within ten seconds', async () => {
    const server = ends(await startHomeserver('default'))
    const proxy = ends(await startProxy(server.baseUrl))
    const { harbour, start, said } = await aWorld(server, { MATRIX_HOMESERVER_URL: proxy.url })
    await start()
    const tasks = await Promise.all(Array.from({ length: 10 }, () => harbour.start()))
    // Long enough for the ten cards to be there and the receiver's patience to have grown back.
    const begun = performance.now()
    for (let i = 0; performance.now() - begun < 60_000; i++) {
      for (const task of tasks) await harbour.say(task, bash(`step ${i}`))
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    const ended = performance.now()
    for (const task of tasks) await harbour.complete(task, 'done')
    await waitFor(async () => completionsOf(await said()).length === 10, { what: 'ten completions', timeoutMs: 60_000, everyMs: 200 })
    const tookMs = performance.now() - ended
    const limited = proxy.calls.filter((call) => call.status === 429).length
    expect({ tookMs: tookMs < 10_000, limited: limited <= 6 }, `took ${tookMs} ms, ${limited} refusals of ${proxy.calls.filter(isSend).length} sends`).toEqual({ tookMs: true, limited: true })
  }, 150_000)
})

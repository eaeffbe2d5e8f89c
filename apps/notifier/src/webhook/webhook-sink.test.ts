import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'

import { pinned, type Resolve } from '@longshore/egress'
import type { Frozen } from '../outbox/frozen.ts'
import { letterId, type Notice } from '../notice.ts'
import { EMPTY_VIEW } from '../task-view.ts'
import { aSecret, type Receiver, startReceiver } from '../testing/hook-receiver.ts'
import { aTask, anEvent } from '../testing/samples.ts'
import { ends } from '../testing/world.ts'
import { createSign } from './sign-hook.ts'
import { postHook } from './post-hook.ts'
import { createWebhookSink, type WebhookSinkDeps } from './webhook-sink.ts'
import { wayToStranger } from './way-to.ts'

const ended = anEvent({ type: 'task.completed', payload: { attempt: 1, duration_ms: 1, result: { output: 'done', output_truncated: false, files_changed: 0 } } })

const NO_RECEIPTS = { root: undefined, posted: undefined }

async function aSink(answer?: Receiver['answer'], more: Partial<WebhookSinkDeps> = {}) {
  const secret = aSecret()
  const receiver = ends(await startReceiver(secret))
  if (answer !== undefined) receiver.answer = answer
  const gone = new Set<string>()
  const deps: WebhookSinkDeps = {
    to: [receiver.url], callbacks: [], events: ['task.completed'], sign: createSign([secret]), signForTasks: createSign([aSecret()]), timeoutMs: 30_000, giveUpMs: 60_000,
    gone: { has: (task, to) => Promise.resolve(gone.has(task + to)), add: (task, to) => Promise.resolve(void gone.add(task + to)) },
    now: Date.now, random: () => 0, signal: new AbortController().signal, ...more,
  }
  const sink = createWebhookSink(deps)
  const task = aTask({ state: 'completed' })
  const frozen = () => sink.freeze(sink.draft(task, EMPTY_VIEW, [{ ...ended, at: deps.now() }]).notices[0] as Notice, NO_RECEIPTS)
  return { receiver, sink, task, frozen }
}

const says = (status: number, headers: Record<string, string> = {}) => (response: ServerResponse) => void response.writeHead(status, headers).end()

test('with two receivers there is one notice for each, under the same id', async () => {
  const { sink, task } = await aSink(undefined, { to: ['https://a.example/?token=hunter2', 'https://a.example/?token=hunter3'] })
  const { notices } = sink.draft(task, EMPTY_VIEW, [ended, anEvent({ type: 'task.paused', payload: { by: 'x' } })])
  expect(notices.map(({ to }) => to)).toEqual(['https://a.example/?token=hunter2', 'https://a.example/?token=hunter3'])
  // Their names and lanes are shown to people: no secret of an address is in them.
  expect(new Set(notices.map(letterId)).size).toBe(2)
  expect([...notices.map(letterId), ...notices.map((notice) => sink.laneOf(notice))].join()).not.toContain('hunter')
  expect(new Set(notices.map((notice) => sink.freeze(notice, NO_RECEIPTS).txn)).size).toBe(1)
})

test('what a task names gets hooks only while the operator allows it', async () => {
  const { sink, task } = await aSink(undefined, { to: [], callbacks: ['https://hooks.example/longshore'] })
  const drafted = (callback: string) => sink.draft({ ...task, callback_url: callback }, EMPTY_VIEW, [ended]).notices
  expect(drafted('https://hooks.example/longshore/1?token=x')).toHaveLength(1)
  expect(drafted('https://hooks.example/other')).toEqual([])
  const frozen = sink.freeze({ ...(drafted('https://hooks.example/longshore/1')[0] as Notice), to: 'https://hooks.example/other' }, NO_RECEIPTS)
  expect(await sink.send(frozen, false)).toMatchObject({ kind: 'refused', reason: expect.stringContaining('WEBHOOK_CALLBACK_ALLOW') as string })
})

test('trouble with a receiver that a task named is not the deployment\'s: the notifier stays ready', async () => {
  const { sink } = await aSink(undefined, { to: ['https://ours.example/a'], callbacks: ['https://*'] })
  expect([sink.isStranger?.('https://ours.example'), sink.isStranger?.('https://hooks.example')]).toEqual([false, true])
})

test('G11: what one agent named on a host holds up neither what another named there nor the deployment\'s own', async () => {
  const own = 'https://hooks.example/own'
  const { sink, task } = await aSink(undefined, { to: [own], callbacks: ['https://hooks.example/'] })
  const lanes = (agent: string, callback: string) => sink.draft({ ...task, agent_id: agent, callback_url: callback }, EMPTY_VIEW, [ended]).notices.map((notice) => sink.laneOf(notice))
  const [ours, hers] = lanes('agent-eve', 'https://hooks.example/no-such-path')
  expect([ours, hers, lanes('agent-a', 'https://hooks.example/a')[1]]).toEqual(['https://hooks.example', 'https://hooks.example agent-eve', 'https://hooks.example agent-a'])
  expect([ours ?? '', hers ?? ''].map((lane) => sink.isStranger?.(lane))).toEqual([false, true])
})

test('a redirect is not followed, wherever it leads', async () => {
  const elsewhere = ends(await startReceiver(aSecret()))
  const { sink, frozen } = await aSink(says(307, { location: elsewhere.url }))
  expect(await sink.send(frozen(), false)).toMatchObject({ kind: 'again', reason: expect.stringContaining('redirects are not followed') as string })
  expect(elsewhere.received).toEqual([])
})

test('Retry-After is honoured, in seconds and as a date', async () => {
  const seconds = await aSink(says(503, { 'retry-after': '120' }))
  expect(await seconds.sink.send(seconds.frozen(), false)).toMatchObject({ kind: 'again', reason: 'the receiver answered 503', afterMs: 120_000 })
  const date = await aSink(says(429, { 'retry-after': new Date(Date.now() + 90_000).toUTCString() }))
  expect(await date.sink.send(date.frozen(), false)).toMatchObject({ kind: 'again', afterMs: expect.closeTo(90_000, -4) as number })
})

test('a receiver that answers 410 gets nothing more of that task, and goes on getting of others', async () => {
  const { receiver, sink, frozen } = await aSink(says(410))
  expect(await sink.send(frozen(), false)).toMatchObject({ kind: 'refused' })
  expect(await sink.send(frozen(), false)).toMatchObject({ kind: 'refused', reason: expect.stringContaining('410') as string })
  expect(receiver.received).toHaveLength(1)
})

test('a hanging receiver and one that answers without end cost a bounded time', async () => {
  const hanging = await aSink(() => undefined, { timeoutMs: 200 })
  expect(await hanging.sink.send(hanging.frozen(), false)).toEqual({ kind: 'again', reason: 'no answer within 200 ms', afterMs: 1_000 })
  let written = 0
  const cut = Promise.withResolvers<void>()
  const endless = await aSink((response) => {
    response.on('close', cut.resolve).writeHead(200)
    const more = (): void => {
      written += 64 * 1024
      if (!response.destroyed) response.write(Buffer.alloc(64 * 1024), () => more())
    }
    more()
  })
  expect(await endless.sink.send(endless.frozen(), false)).toEqual({ kind: 'sent' })
  await cut.promise
  expect(written).toBeLessThan(64 * 1024 * 1024)
})

test('what is not taken for too long is given up, each after a second try at least', async () => {
  const { sink, frozen } = await aSink(says(500))
  const old = (): Frozen => ({ ...frozen(), frozen_at: Date.now() - 3_600_000 })
  expect(await sink.send(old(), false)).toMatchObject({ kind: 'again', afterMs: 900_000 })
  expect(await sink.send(old(), true)).toMatchObject({ kind: 'refused', reason: expect.stringMatching(/given up after 36\d\d s; the last try: the receiver answered 500/) as string })
})

const at = (...addresses: string[]): Resolve => () => Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })))

test.each([
  'http://127.0.0.1/x', 'https://[::1]/', 'https://[::ffff:10.0.0.1]/', 'http://0x7f.1/', 'http://2130706433/', 'http://169.254.169.254/latest/meta-data', 'https://10.1.2.3/', 'https://192.168.0.1/', 'https://0.0.0.0/', 'https://[fd00:ec2::254]/',
])('a task cannot have %s posted to', async (text) => {
  expect(await wayToStranger(new URL(text), at('8.8.8.8'))).toMatchObject({ kind: 'closed' })
})

test('a name that leads to a private address is not posted to; of several addresses only the public ones are used', async () => {
  const url = new URL('https://hooks.example/')
  expect(await wayToStranger(url, at('10.0.0.7'))).toMatchObject({ kind: 'closed' })
  expect(await wayToStranger(url, at())).toMatchObject({ kind: 'unresolved' })
  const way = await wayToStranger(url, at('127.0.0.1', '1.1.1.1'))
  expect(way.kind === 'open' && (await addressesIn(way.lookup))).toEqual([{ address: '1.1.1.1', family: 4 }])
})

test('a name that means another host a moment later (DNS rebinding) is connected to as it was looked at', async () => {
  let asked = 0
  const rebinding: Resolve = () => at(asked++ === 0 ? '1.1.1.1' : '127.0.0.1')('')
  const way = await wayToStranger(new URL('https://hooks.example/'), rebinding)
  const lookup = way.kind === 'open' ? way.lookup : undefined
  expect([await addressesIn(lookup), await addressesIn(lookup), asked]).toEqual([[{ address: '1.1.1.1', family: 4 }], [{ address: '1.1.1.1', family: 4 }], 1])

  // And the connection itself goes to the addresses given, not to what the name means by then.
  const secret = aSecret()
  const receiver = ends(await startReceiver(secret))
  const { port } = new URL(receiver.url)
  const headers = createSign([secret])('evt', new Date(), '{}')
  const options = { lookup: pinned([{ address: '127.0.0.1', family: 4 }]), timeoutMs: 30_000, signal: new AbortController().signal }
  expect(await postHook(new URL(`http://no-such-name.invalid:${port}/x?token=1`), headers, '{}', options)).toMatchObject({ status: 204 })
  expect(receiver.received.map(({ path }) => path)).toEqual(['/x?token=1'])
})

function addressesIn(lookup: ReturnType<typeof pinned> | undefined): Promise<unknown> {
  return new Promise((resolve) => lookup?.('hooks.example', { all: true }, (_, addresses) => resolve(addresses)))
}

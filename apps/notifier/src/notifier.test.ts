import { sharedRedisUrl, startRedis, waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { SILENT } from '@longshore/contracts'
import { createDoorbell, keysOf } from '@longshore/ledger'
import { outboxPrefix } from '@longshore/outbox'
import { connectRedis } from '@longshore/runtime'
import { createLogSink } from './log-sink.ts'
import { startNotifier } from './notifier.ts'
import { createHarbour } from './testing/harbour.ts'
import { startNotifierProcess } from './testing/notifier-process.ts'
import { ends } from './testing/world.ts'

test('a notifier starts before Redis is there, works once it is, and exits 0 while it is away', async () => {
  const redis = ends(await startRedis({ aof: 'always' }))
  await redis.kill9()
  const harbour = createHarbour(redis.url)
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const notifier = ends(await startNotifierProcess({ REDIS_URL: redis.url, LONGSHORE_DEPLOYMENT: harbour.deployment }))
  const ready = async () => ((await (await fetch(`http://127.0.0.1:${notifier.port()}/ready`)).json()) as { ready: boolean }).ready
  expect(await ready()).toBe(false)
  await redis.restart()
  const task = await harbour.submit()
  await waitFor(() => notifier.output().includes(`"task":"${task.id}"`), { what: 'the notice' })
  await redis.kill9()
  await waitFor(() => notifier.output().includes('Redis does not answer'), { what: 'the loss to be noticed' })
  expect(await notifier.stop()).toBe(0)
})

test('a task that cannot be read silences no other task', async () => {
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const [broken, sound] = [await harbour.submit(), await harbour.submit()]
  await harbour.redis.hset(keysOf(harbour.deployment).task(broken.id), 'state', 'a state of the future')
  const notifier = ends(await startNotifierProcess({ REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: harbour.deployment }))
  await waitFor(() => notifier.output().includes(`"task":"${sound.id}"`), { what: 'the notice of the sound one' })
  expect(await waitFor(() => notifier.output().includes('a task could not be read'), { what: 'a word about the broken one' })).toBe(true)
})

test('what ended long before a sink was first used is history; what ends later is told', async () => {
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const [old, live] = [await harbour.start(), await harbour.start()]
  await harbour.complete(old, 'done')
  await harbour.redis.hset(keysOf(harbour.deployment).task(old.id), 'ended_at', Date.now() - 2 * 3_600_000)
  const notifier = ends(await startNotifierProcess({ REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: harbour.deployment }))
  await harbour.complete(live, 'done')
  await waitFor(() => notifier.output().includes('✅ Completed'), { what: 'the completion' })
  expect(notifier.output()).toContain(live.id)
  expect(notifier.output()).not.toContain(old.id)
})

test('a notifier whose clock is hours ahead tells of what ends now', async () => {
  const harbour = createHarbour(sharedRedisUrl())
  const bells = connectRedis(sharedRedisUrl(), 'background', SILENT)
  ends({ stop: () => Promise.resolve([harbour.redis, bells].forEach((redis) => redis.disconnect())) })
  const told: string[] = []
  const now = () => Date.now() + 3 * 3_600_000
  ends(startNotifier({
    redis: harbour.redis, deployment: harbour.deployment, ledger: harbour.ledger, doorbell: createDoorbell(bells, harbour.deployment), log: SILENT, now, random: () => 0,
    sink: createLogSink({ ...SILENT, info: (fields) => void told.push(JSON.stringify(fields)) }, now), onOutcome: () => undefined,
  }))
  const task = await harbour.start()
  await harbour.complete(task, 'done')
  const completions = () => told.filter((fields) => fields.includes('"kind":"completion"'))
  await waitFor(() => completions().length > 0, { what: 'the completion' })
  expect(completions().map((fields) => JSON.parse(fields) as object)).toMatchObject([{ task: task.id, status: 'completed' }])
})

test('G8: what happened while nobody listened is told, also when the stream was trimmed meanwhile', async () => {
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const env = { REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: harbour.deployment }
  const completionsIn = (output: string) => output.split('\n').filter((line) => line.includes('"kind":"completion"'))
  const first = ends(await startNotifierProcess(env))
  const [told, missed] = [await harbour.start(), await harbour.start()]
  await harbour.complete(told, 'done')
  await waitFor(() => completionsIn(first.output()).length === 1, { what: 'the first completion' })
  await waitFor(async () => (await harbour.outbox('log')).waiting === 0, { what: 'an empty outbox' })
  await first.stop()
  await harbour.complete(missed, 'done')
  await harbour.redis.xtrim(keysOf(harbour.deployment).fleet, 'MAXLEN', 0)

  const next = ends(await startNotifierProcess(env))
  await waitFor(() => completionsIn(next.output()).length > 0, { what: 'the missed completion' })
  const later = await harbour.start()
  await harbour.complete(later, 'done')
  await waitFor(() => next.output().includes(later.id), { what: 'the stream to be followed again' })
  await waitFor(() => completionsIn(next.output()).length > 1, { what: 'the later completion' })
  expect(completionsIn(next.output()).map((line) => (JSON.parse(line) as { task: string }).task)).toEqual([missed.id, later.id])
})

test('metrics say how many notices wait, for how long, and how many are dead', async () => {
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const notifier = ends(await startNotifierProcess({ REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: harbour.deployment }))
  const metrics = async () => (await fetch(`http://127.0.0.1:${notifier.port()}/metrics`)).text()
  await harbour.complete(await harbour.start(), 'done')
  await waitFor(async () => /longshore_notice_tries_total\{[^}]*kind="completion"[^}]*\} 1/.test(await metrics()), { what: 'the completion to be counted' })
  await waitFor(async () => /longshore_notices_waiting\{[^}]*\} 0/.test(await metrics()), { what: 'an empty outbox' })
  await harbour.redis.zadd(`${outboxPrefix(harbour.deployment, 'log')}ages`, Date.now() - 60_000, 'old')
  await harbour.redis.zadd(`${outboxPrefix(harbour.deployment, 'log')}dead:times`, 1, 'dead')
  const shown = await metrics()
  expect(shown).toMatch(/longshore_notices_dead\{[^}]*\} 1/)
  expect(Number(/longshore_notices_oldest_seconds\{[^}]*\} ([\d.]+)/.exec(shown)?.[1])).toBeGreaterThan(59)
})

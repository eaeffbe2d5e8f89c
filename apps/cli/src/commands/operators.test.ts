import { SILENT, type TaskId } from '@longshore/contracts'
import { createLedger, keysOf, type Ledger } from '@longshore/ledger'
import { noteSink, outboxPrefix } from '@longshore/outbox'
import { createHeartbeats, type Heartbeat, type Heartbeats } from '@longshore/queue'
import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayProcess, startGateway } from '../testing/gateway-process.ts'
import { longshore } from '../testing/run-longshore.ts'

let gateway: GatewayProcess
let redis: Redis
let ledger: Ledger
let heartbeats: Heartbeats

beforeAll(async () => {
  gateway = await startGateway()
  redis = new Redis(sharedRedisUrl())
  ledger = createLedger({ redis, deployment: gateway.deployment, log: SILENT })
  heartbeats = createHeartbeats(redis, gateway.deployment)
})
afterAll(async () => {
  redis.disconnect()
  await gateway.stop()
})

const run = (...args: string[]) => longshore(args, gateway.env)

const capabilities = { adopt: true, resume: true, steer: false, pause: false, usage: true, files: false }
const mode = (name: 'docker' | 'opencode', more: object = {}) => ({ mode: name, ok: true, isolation: 'container' as const, capabilities, ...more })
const worker = (name: string, more: Partial<Heartbeat> = {}): Heartbeat => ({
  v: 1, name, host: 'box', version: '0.1.0', started_at: Date.now() - 7_500_000, slots: 4, running: 0, draining: false, modes: [mode('docker', { engine_id: 'ABCD' })], ...more,
})

test('without a worker the list says that nothing is lost', async () => {
  expect(await run('workers')).toMatchObject({ code: 0, said: expect.stringMatching(/^No worker is alive: tasks wait in the queue and are not lost\./) as string })
  expect(await run('workers', '--json')).toMatchObject({ code: 0, said: '[]\n' })
})

test('workers are shown with what they run, and each mode that is off with its reason', async () => {
  await heartbeats.beat(worker('one', { running: 2 }))
  await heartbeats.beat(worker('second', { draining: true, modes: [mode('opencode')] }))
  await heartbeats.beat(worker('third', { modes: [mode('docker'), mode('opencode', { ok: false, reason: 'no server\u001B[2J answers' })] }))
  expect((await run('workers')).said.split('\n')).toEqual([
    'one     ok          2 of 4 running  up 2 h 5 min  version 0.1.0  on box',
    '    docker  takes tasks, engine ABCD',
    'second  draining    0 of 4 running  up 2 h 5 min  version 0.1.0  on box',
    '    opencode  takes none',
    'third   partly off  0 of 4 running  up 2 h 5 min  version 0.1.0  on box',
    '    docker    takes tasks',
    '    opencode  off: no server[2J answers',
    '',
  ])
})

test('G12: drain asks one worker, says what follows, and warns when no other takes tasks', async () => {
  await heartbeats.remove('third')
  await heartbeats.beat(worker('one', { running: 1 }))
  const asked = await run('drain', 'one')
  expect(asked).toMatchObject({ code: 0, complained: '' })
  expect(asked.said.split('\n')).toEqual([
    expect.stringMatching(/^one: It takes no more tasks\./),
    'It holds 1 task now. Follow it: longshore workers. Take it back: longshore drain one --undo',
    'No other worker takes tasks: what this one hands over waits until one does.',
    '',
  ])
  expect(await heartbeats.beat(worker('one'))).toEqual({ isDrainAsked: true })
  expect((await run('drain', 'one', '--undo')).said).toMatch(/^one: It takes tasks again/)
  expect(await heartbeats.beat(worker('one'))).toEqual({ isDrainAsked: false })
  await heartbeats.beat(worker('third'))
  expect((await run('drain', 'one')).said).not.toContain('No other worker')
})

test('an unknown worker is refused with the names of those there are', async () => {
  for (const name of ['one', 'second', 'third']) await heartbeats.beat(worker(name))
  expect(await run('drain', 'on/e')).toEqual({ code: 1, said: '', complained: 'name: no worker "on/e" is alive (invalid_input). Alive: one, second, third.\n' })
})

test('poisoned tasks are listed, and one is replayed once as a new task', async () => {
  expect((await run('poisoned')).said).toBe('No task is poisoned.\n')
  const old = (JSON.parse((await run('submit', 'Break things', '--mode', 'docker', '--json')).said) as { task_id: TaskId }).task_id
  const taken = await ledger.take({ task_id: old, n: 1 }, 'w')
  await ledger.end({ taskId: old, claim: taken.kind === 'taken' ? taken.task.claim : 0 }, { state: 'failed', payload: { failure: { code: 'poison', message: '5 workers died' } } })
  expect((await run('poisoned')).said).toMatch(new RegExp(`^TASK +ENDED \\(UTC\\) +AGENT +MODE +TITLE\n${old}  [-\\d]+ [:\\d]+  agent-7  docker  Break things\n\n.*longshore replay TASK\n$`))
  expect((await run('poisoned', '--offset', '1')).said).toBe('No more of them after the first 1.\n')
  const replayed = await run('replay', old)
  const id = /^task-[0-9a-z]{26}/.exec(replayed.said)?.[0] ?? ''
  expect(id).not.toBe(old)
  expect(replayed.said).toBe(`${id}  queued, docker mode, in place of ${old}\nFollow it: longshore watch ${id}\n`)
  expect(await run('replay', old)).toMatchObject({ code: 1, said: '', complained: expect.stringContaining('was replayed before') as string })
  expect(await run('replay', id)).toMatchObject({ code: 1, complained: expect.stringContaining('only a poisoned task can be replayed') as string })
  expect((await run('poisoned')).said).toBe('No task is poisoned.\n')
})

test('what people did from Matrix is shown, the newest first, as plain text', async () => {
  expect((await run('audit')).said).toBe('Nobody asked for anything from Matrix.\n')
  const entry = { v: 1, at: Date.UTC(2026, 10, 23, 14, 3), by: 'matrix:@ann:example.org', role: 'operator', deed: 'cancel', words: 'wrong\u001B[2J', task_id: 'task-1', result: 'done', answer: 'Cancelled.', room_id: '!r', event_id: '$e' }
  await redis.lpush(keysOf(gateway.deployment).audit, JSON.stringify(entry), '{"v":2}')
  expect((await run('audit')).said.split('\n').slice(1)).toEqual([expect.stringMatching(/^2026-11-23 14:03:00 +matrix:@ann:example\.org +operator +cancel +done +task-1 +wrong\[2J$/), ''])
  expect(JSON.parse((await run('audit', '--json', '--limit', '5')).said)).toMatchObject([{ deed: 'cancel', event_id: '$e', answer: 'Cancelled.' }])
  expect(await run('audit', '--limit', 'x')).toMatchObject({ code: 1 })
})

test('G9: a task that nobody started in time says which limit that was', async () => {
  const { task_id } = JSON.parse((await run('submit', 'late', '--queue-ttl', '1s', '--json')).said) as { task_id: TaskId }
  await waitFor(() => ledger.timeoutUnowned(task_id, 1), { what: 'the end of its time in the queue' })
  expect((await run('status', task_id)).said).toMatch(/status +timeout\n(.*\n)*limit +queue_ttl_ms: no worker was free to start it within 1\.0 s\n/)
})

test('the help of each names what it needs', async () => {
  expect((await run('drain', '--help')).said).toMatch(/^Let one worker take no more tasks.*\n\nUsage {2}longshore drain NAME \[options\]\n\n {2}--undo/)
  expect(await run('drain')).toMatchObject({ code: 1, complained: 'longshore drain: NAME is missing.\nSee: longshore drain --help\n' })
  expect(await run('replay')).toMatchObject({ code: 1, complained: expect.stringContaining('TASK is missing') as string })
})

test('what tasks used is shown as a table, or that it is nothing', async () => {
  expect((await run('usage', '--from', '2001-01-01', '--to', '2001-01-02')).said).toBe('Nothing was used in these days.\n')
  expect(await run('usage', '--from', 'yesterday')).toMatchObject({ code: 1, complained: expect.stringContaining('from') as string })
  const id = /^task-[0-9a-z]{26}/.exec((await run('submit', 'count me', '--mode', 'docker')).said)?.[0] ?? ''
  const take = await ledger.take({ task_id: id, n: 1 }, 'w')
  if (take.kind !== 'taken') throw new Error('not taken')
  await ledger.append({ taskId: take.task.id, claim: take.task.claim }, [{ type: 'task.usage', payload: { input_tokens: 1_200, output_tokens: 34, reasoning_tokens: 0, cache_read_tokens: 5_600, cache_write_tokens: 0, cost_micros: 12_300 } }])
  const day = new Date().toISOString().slice(0, 10)
  expect((await run('usage')).said).toBe([
    'DAY (UTC)   AGENT    PROFILE   MODE    TOKENS  FROM CACHE  COST',
    `${day}  agent-7  opencode  docker  1,234   5,600       0.0123`,
    'total                                  1,234   5,600       0.0123', '',
  ].join('\n'))
})

test('notices that were refused are listed with the reason, and replayed one by one or all', async () => {
  expect((await run('notices', 'dead')).said).toBe('No notice was refused.\n')
  const prefix = outboxPrefix(gateway.deployment, 'matrix')
  await noteSink(redis, gateway.deployment, 'matrix')
  for (const [i, id] of ['completion:task-1:E', 'reply:c1'].entries()) {
    await redis.hset(`${prefix}dead:letters`, id, JSON.stringify({ at: 1_000 * i, reason: 'M_TOO\u001B[2J_LARGE', lane: 'agent:a', line: 'top', notice: JSON.stringify({ kind: id.split(':')[0], task_id: 'task-1' }) }))
    await redis.zadd(`${prefix}dead:times`, 1_000 * i, id)
  }
  const listed = await run('notices', 'dead')
  expect(listed.said.split('\n').slice(0, 2)).toEqual(['1970-01-01 00:00:01  matrix  reply  reply:c1', '    agent:a: M_TOO[2J_LARGE'])
  expect(listed.said).toContain('2 in all.')
  expect(await run('notices', 'replay', 'nothing')).toMatchObject({ code: 1, complained: expect.stringMatching(/^notice_id: no dead notice "nothing"/) as string })
  expect((await run('notices', 'replay', 'reply:c1')).said).toBe('1 waits in the outbox again.\n')
  expect((await run('notices', 'replay', 'all')).said).toBe('1 waits in the outbox again.\n')
  expect(await redis.hkeys(`${prefix}outbox`)).toEqual(['reply:c1', 'completion:task-1:E'])
  expect((await run('notices', 'dead', '--json')).said).toBe('{\n  "total": 0,\n  "notices": []\n}\n')
})

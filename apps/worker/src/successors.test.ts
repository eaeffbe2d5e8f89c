import { describe, expect, test } from 'vitest'

import type { Handle } from '@longshore/contracts'
import type { Engine, Heartbeat } from '@longshore/queue'

import { canAdopt, findSuccessors, isOfEngine } from './successors.ts'

const capabilities = { adopt: true, resume: true, steer: false, pause: false, usage: false, files: false }
const report: Heartbeat['modes'][number] = { mode: 'docker', ok: true, isolation: 'container', engine_id: 'E1', capabilities }
const worker = (more: Partial<Heartbeat> = {}): Heartbeat => ({ v: 1, name: 'b', host: 'h', version: '0', started_at: 1, slots: 1, running: 0, draining: false, storage_id: 'S', modes: [report], ...more })
const handle: Handle = { v: 1, mode: 'docker', storage_id: 'S', engine_id: 'E1', data: {} }

describe('who can adopt an execution', () => {
  test.each<[string, Heartbeat, boolean]>([
    ['a worker of that engine and storage', worker(), true],
    ['one that drains', worker({ draining: true }), false],
    ['one of another engine', worker({ modes: [{ ...report, engine_id: 'E2' }] }), false],
    ['one that does not know its engine yet', worker({ modes: [{ mode: 'docker', ok: true, isolation: 'container', capabilities }] }), false],
    ['one of another storage', worker({ storage_id: 'T' }), false],
    ['one whose mode is off', worker({ modes: [{ ...report, ok: false, reason: 'no engine' }] }), false],
    ['one of the other mode', worker({ modes: [{ ...report, mode: 'opencode' }] }), false],
    ['one whose backend attaches to nothing', worker({ modes: [{ ...report, capabilities: { ...capabilities, adopt: false } }] }), false],
  ])('%s', (_who, one, can) => {
    expect(canAdopt(one, 'docker', handle)).toBe(can)
  })

  test('a handle that names no place is in reach of all', () => {
    expect(canAdopt(worker({ storage_id: 'T', modes: [{ ...report, engine_id: 'E2' }] }), 'docker', { v: 1, mode: 'docker', data: {} })).toBe(true)
  })
})

test('an engine whose worker is there keeps its executions, also while it does not answer', () => {
  expect(isOfEngine(worker({ modes: [{ ...report, ok: false, reason: 'no answer' }] }), 'docker', 'E1')).toBe(true)
  expect(isOfEngine(worker({ draining: true }), 'docker', 'E1')).toBe(false)
  expect(isOfEngine(worker(), 'docker', 'E2')).toBe(false)
})

test.each<[string, Heartbeat[], number, boolean]>([
  ['its worker is there', [worker()], 1_000, true],
  ['its worker is there and could not reach it for a while', [worker({ modes: [{ ...report, ok: false, reason: 'no answer' }] })], 20_000, false],
  ['its worker drains', [worker({ draining: true })], 1_000, false],
  ['its worker is gone', [], 1_000, false],
])('an engine when %s', async (_when, workers, silentMs, isAlive) => {
  const engine: Engine = { mode: 'docker', engineId: 'E1', queue: 'q', silentMs }
  const successors = findSuccessors({ engines: () => Promise.resolve([engine]), heartbeats: { list: () => Promise.resolve(workers) }, self: 'a', announcedAt: () => Infinity })
  expect(await successors.isAlive('docker', 'E1')).toBe(isAlive)
})

describe('G12: workers that end at once', () => {
  const seeing = (...looks: Heartbeat[][]) => {
    const announced = performance.now()
    let look = 0
    return findSuccessors({ engines: () => Promise.resolve([]), heartbeats: { list: () => Promise.resolve(looks[Math.min(look++, looks.length - 1)] ?? []) }, self: 'a', announcedAt: () => announced })
  }

  test('do not leave their tasks to each other: who says so a moment later is no successor', async () => {
    expect(await seeing([worker({ name: 'a' }), worker()], [worker({ draining: true })]).hasSuccessor('docker', handle)).toBe(false)
  })

  test('one that stays is a successor', async () => {
    expect(await seeing([worker()]).hasSuccessor('docker', handle)).toBe(true)
  })

  test('a worker is not its own successor, and then waits for nobody', async () => {
    const begun = performance.now()
    expect(await seeing([worker({ name: 'a' })]).hasSuccessor('docker', handle)).toBe(false)
    expect(performance.now() - begun).toBeLessThan(1_000)
  })
})

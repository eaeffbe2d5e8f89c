import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayProcess, startGateway } from '../testing/gateway-process.ts'
import { longshore } from '../testing/run-longshore.ts'

let gateway: GatewayProcess
beforeAll(async () => {
  gateway = await startGateway()
  await run('submit', 'Fix \u001B[31mthe parser', '--mode', 'opencode')
  await run('submit', 'Write docs')
})
afterAll(() => gateway.stop())

const run = (...args: string[]) => longshore(args, gateway.env)

test('tasks are found by what they are, and nothing of them reaches the terminal but text', async () => {
  const found = await run('search', '--title', 'FIX', '--status', 'queued,failed', '--mode', 'opencode', '--created-from', '2020-01-01')
  expect(found).toMatchObject({ code: 0, complained: '' })
  expect(found.said).toMatch(/^TASK +STATUS.*\ntask-\S+  queued  opencode  .*  Fix \[31mthe parser\n$/)
  expect((await run('search', '--status', 'failed')).said).toBe('No task is like that.\n')
})

test('it goes on where an earlier search ended', async () => {
  const first = await run('search', '--limit', '1', '--agent', 'agent-7')
  expect(first.said).toContain('Write docs')
  const cursor = /--cursor (\S+)\n/.exec(first.complained)?.[1] ?? ''
  expect(JSON.parse((await run('search', '--limit', '1', '--cursor', cursor, '--json')).said)).toMatchObject({ tasks: [{ mode: 'opencode' }], has_more: false })
})

test.each([
  [['--ended-before', 'tomorrow'], '--ended-before: got "tomorrow", allowed: a time'], [['--created-from', '2026-13-45'], '--created-from: got "2026-13-45"'],
  [['--status', 'gone'], 'status: one or several of queued'], [['--title', 'a\u0007'], 'title_prefix: must not have control characters'], [['--limit', 'x'], '--limit: got "x"'],
])('%j is refused readably, exit code 1', async (args, message) => {
  const { code, said, complained } = await run('search', ...args)
  expect({ code, said }).toEqual({ code: 1, said: '' })
  expect(complained).toContain(message)
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Agent, refusal, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

describe('a bad call is refused in words that say what to do, and leaves nothing behind', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ workers: 0 })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const submitting = (body: object) => async ({ submit }: Agent): Promise<unknown> => submit('x', body as Record<string, unknown>)

  test.each([
    ['a prompt of 2 MB', submitting({ task_description: 'x'.repeat(2_000_000) }), /invalid_input|payload_too_large/, 'task_description'],
    ['a negative timeout', submitting({ timeout_ms: -1 }), /invalid_input/, 'timeout_ms'],
    ['an absurd timeout', submitting({ timeout_ms: 1e15 }), /invalid_input/, 'timeout_ms'],
    ['an unknown parameter', submitting({ tiemout_ms: 5 }), /invalid_input/, 'tiemout_ms'],
    ['a missing parameter', submitting({ task_description: undefined }), /invalid_input/, 'task_description'],
    ['an unknown mode', submitting({ mode: 'kubernetes' }), /invalid_input/, 'mode'],
  ] as const)('%s', async (_name, call, code, named) => {
    const refused = await refusal(call(stack.alice))
    expect(refused.code).toMatch(code)
    expect(`${refused.message} ${refused.next ?? ''}`).toContain(named)
    expect(await (await stack.operator.fetch('/api/tasks')).json()).toEqual({ tasks: [] })
  })

  test('an unknown tool is named back with the tools that there are', async () => {
    await expect(stack.mcp('a 1.x client').call('opencode_execute_tsak', {})).rejects.toThrow(/opencode_execute_tsak.*opencode_execute_task/s)
  })

  test.each([
    ['a wrong key', { authorization: 'Bearer lsa_wrong' }, 401, 'unauthorized'],
    ['no key', { authorization: '' }, 401, 'unauthorized'],
    ['an evil Origin that begins with an allowed one', { origin: 'http://localhost.evil.example' }, 403, 'origin_forbidden'],
    ['an evil Origin with an allowed one in its user part', { origin: 'http://localhost@evil.example' }, 403, 'origin_forbidden'],
  ] as const)('%s is refused at both doors', async (_name, headers, status, code) => {
    const api = await stack.alice.fetch('/api/tasks', { method: 'POST', body: { task_description: 'x' }, headers })
    const mcp = await stack.alice.fetch('/mcp', {
      method: 'POST', body: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'opencode_execute_task', arguments: { task_description: 'x' } } },
      headers: { accept: 'application/json, text/event-stream', ...headers },
    })
    for (const response of [api, mcp]) {
      expect(response.status).toBe(status)
      expect(await response.text()).toContain(code)
    }
    expect(await (await stack.operator.fetch('/api/tasks')).json()).toEqual({ tasks: [] })
  })
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { SILENT } from '@longshore/contracts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { scriptedProviderConfig } from './opencode-config.ts'
import { type ScriptedProvider, startScriptedProvider } from './server.ts'

const TOKEN = 'a-token-for-this-test'
let provider: ScriptedProvider
let directory: string

beforeEach(async () => {
  provider = await startScriptedProvider({ log: SILENT, token: TOKEN })
  directory = await mkdtemp(join(tmpdir(), 'longshore-scripted-'))
})
afterEach(async () => {
  await provider.stop()
  await rm(directory, { recursive: true, force: true })
})

/** Runs the real OpenCode once; its events as it prints them. */
async function opencode(prompt: string): Promise<{ code: number | null; events: Record<string, unknown>[] }> {
  const child = spawn(createRequire(import.meta.url).resolve('opencode-ai/bin/opencode.exe'), ['run', '--format', 'json'], {
    cwd: directory,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env['PATH'], HOME: join(directory, '.home'), OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_CONFIG_CONTENT: JSON.stringify({ ...scriptedProviderConfig(provider.url, TOKEN), autoupdate: false, share: 'disabled' }),
    },
  })
  child.stdin.end(prompt)
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number | null]>])
  return { code, events: out.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>) }
}

describe('the real OpenCode with the scripted model', () => {
  test('writes, runs, says, survives a 429 and ends', async () => {
    const { code, events } = await opencode('[[write notes/a.txt|from the script]] [[status 429]] [[bash cat notes/a.txt]] [[say all good]]')

    expect(code).toBe(0)
    expect(await readFile(join(directory, 'notes/a.txt'), 'utf8')).toBe('from the script')
    const tools = events.filter((event) => event['type'] === 'tool_use').map((event) => event['part'])
    expect(tools).toMatchObject([
      { tool: 'write', state: { status: 'completed' } },
      { tool: 'bash', state: { status: 'completed', output: 'from the script' } },
    ])
    expect(events.findLast((event) => event['type'] === 'text')).toMatchObject({ part: { text: 'all good' } })
    expect(events.at(-1)).toMatchObject({ type: 'step_finish', part: { reason: 'stop' } })
    expect(provider.requests()).toBeGreaterThanOrEqual(4)
  })
})

describe('the provider', () => {
  const completion = (headers: Record<string, string>, content: string, tool = 'bash'): Promise<Response> =>
    fetch(`${provider.url}/chat/completions`, {
      method: 'POST', headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'longshore-scripted', stream: true, messages: [{ role: 'user', content }], tools: [{ type: 'function', function: { name: tool } }] }),
    })

  test('refuses who does not know its token', async () => {
    expect((await completion({ authorization: 'Bearer wrong' }, 'hello')).status).toBe(401)
    expect((await completion({}, 'hello')).status).toBe(401)
    expect(provider.requests()).toBe(0)
  })

  test('streams as many chunks as it is told', async () => {
    const body = await (await completion({ authorization: `Bearer ${TOKEN}` }, '[[stream 250]]')).text()
    expect(body.match(/"content":"chunk-\d+ "/g)).toHaveLength(250)
    expect(body).toContain('"finish_reason":"stop"')
    expect(body.trimEnd().endsWith('data: [DONE]')).toBe(true)
  })

  test('gives words and the call behind them in one turn to a client whose loop ends with words', async () => {
    const body = await (await completion({ authorization: `Bearer ${TOKEN}` }, '[[say first]] [[bash ls]] [[say last]]', 'run_shell_command')).text()
    expect(body).toMatch(/"content":"first"[^]*"name":"run_shell_command","arguments":"\{\\"command\\":\\"ls\\"[^]*"finish_reason":"tool_calls"/)
    expect(body).not.toContain('last')
  })

  test('stops although a stream hangs', async () => {
    const hanging = await completion({ authorization: `Bearer ${TOKEN}` }, '[[hang]]')
    await provider.stop()
    await expect(hanging.text()).rejects.toThrow('terminated')
    provider = await startScriptedProvider({ log: SILENT, token: TOKEN })
  })

  test('does not listen beyond loopback without a token', async () => {
    await expect(startScriptedProvider({ host: '0.0.0.0', log: SILENT })).rejects.toThrow('only with a token')
  })
})

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'

let fixture: GatewayFixture
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-choices-'))
  const PROFILES_FILE = join(folder, 'profiles.json')
  await writeFile(PROFILES_FILE, '{"codex":{"driver":"acp","command":["codex-acp"]},"plain":{"driver":"command","command":["make"]}}')
  fixture = await startGatewayFixture({ PROFILES_FILE, TASK_MODELS: 'openai/gpt,openai/mini', TASK_IMAGES: 'registry.example/big:1', TASK_ENV_NAMES: 'NPM_TOKEN', TASK_MAX_CPUS: '4', TASK_MAX_MEMORY: '4g', TASK_MAX_ATTEMPTS: '5' })
})
afterAll(async () => {
  await fixture.stop()
  await rm(folder, { recursive: true, force: true })
})

async function submit(input: object): Promise<{ status: number; body: Record<string, unknown> & { error: Record<string, string> } }> {
  const response = await fixture.request('/api/tasks', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ task_description: 'x', ...input }) })
  return { status: response.status, body: await response.json() as never }
}

test.each([
  [{ profile: 'cluade' }, 'profile', 'profile: got "cluade", allowed: opencode, opencode-acp, codex, plain'],
  [{ profile: 'constructor' }, 'profile', 'allowed: opencode'],
  [{ model: 'openai/gtp' }, 'model', 'model: got "openai/gtp", allowed: openai/gpt, openai/mini'],
  [{ image: 'evil:latest' }, 'image', 'image: got "evil:latest", allowed: registry.example/big:1'],
  [{ env: ['NPM_TOKEN', 'HOME'] }, 'env', 'env: got "HOME", allowed: NPM_TOKEN'],
  [{ cpu: 5 }, 'cpu', 'cpu: got 5, allowed: at most 4 here'],
  [{ memory_mb: 8192 }, 'memory_mb', 'memory_mb: got 8192, allowed: at most 4096 here'],
  [{ profile: 'plain', permissions: { '*': 'deny' } }, 'permissions', 'permissions: the profile plain runs a plain command'],
  [{ max_attempts: 6 }, 'max_attempts', 'max_attempts: got 6, allowed: at most 5 here'],
])('%o is refused by the name of the field, with what came and what is allowed', async (input, field, message) => {
  const { status, body } = await submit(input)
  expect([status, body.error['field']]).toEqual([400, field])
  expect(body.error['message']).toContain(message)
  expect(body.error['next']).not.toBe('')
})

test('env takes names, never values', async () => {
  expect((await submit({ env: ['NPM_TOKEN=stolen'] })).status).toBe(400)
  expect((await submit({ env: { NPM_TOKEN: 'stolen' } })).status).toBe(400)
})

test('what is allowed stands in the record, the answer says that nobody takes it yet, and the ticket asks for a worker that understands it', async () => {
  const choices = { profile: 'codex', model: 'openai/gpt', image: 'registry.example/big:1', cpu: 1.5, memory_mb: 1024, env: ['NPM_TOKEN'] }
  const { status, body } = await submit({ ...choices, max_attempts: 2 })
  expect([status, body['mode']]).toEqual([202, 'docker'])
  expect(body).toMatchObject(choices)
  expect(body['message']).toContain('No worker that is there takes such tasks now (profile codex)')
  expect(await fixture.ledger.get(String(body['task_id']))).toMatchObject({ ...choices, max_attempts: 2 })
  const pending = await fixture.redis.keys(`*${String(body['task_id'])}-1`)
  const job = await fixture.redis.hget(pending[0] ?? '', 'data')
  expect(JSON.parse(job ?? '{}')).toMatchObject({ profile: 'codex', min_worker: 5 })
  expect(job).not.toContain('NPM_TOKEN')
})

test('G2: the same key with another choice is another submit', async () => {
  const first = await submit({ idempotency_key: 'k1', model: 'openai/gpt' })
  expect((await submit({ idempotency_key: 'k1', model: 'openai/gpt' })).body['task_id']).toBe(first.body['task_id'])
  expect((await submit({ idempotency_key: 'k1', model: 'openai/mini' })).body.error['code']).toBe('idempotency_conflict')
})

test('a plain command asks nobody: from whom the deployment withholds something gets none, unless the operator marked it', async () => {
  const PROFILES_FILE = join(folder, 'commands.json')
  await writeFile(PROFILES_FILE, '{"plain":{"driver":"command","command":["make"]},"vouched":{"driver":"command","command":["make"],"unasked":true},"codex":{"driver":"acp","command":["codex-acp"]}}')
  const careful = await startGatewayFixture({ PROFILES_FILE, AGENT_PERMISSIONS: '{"agent-alice":{"bash":{"git push*":"ask"}}}' })
  try {
    const send = async (profile: string, key = careful.keys.alice) => (await careful.request('/api/tasks', { method: 'POST', key, body: JSON.stringify({ task_description: 'x', profile }) })).json()
    expect(await send('plain')).toMatchObject({ error: { code: 'invalid_input', field: 'profile', message: expect.stringContaining('withholds bash from agent-alice') as string, next: expect.stringContaining('AGENT_PERMISSIONS') as string } })
    for (const [profile, key] of [['vouched', careful.keys.alice], ['codex', careful.keys.alice], ['plain', careful.keys.bob]] as const) expect(await send(profile, key)).toMatchObject({ status: 'queued' })
  } finally {
    await careful.stop()
  }
})

import { sharedRedisUrl } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'

let fixture: GatewayFixture
beforeAll(async () => {
  fixture = await startGatewayFixture({ AGENT_NAMED_WORKSPACES: '2' }, sharedRedisUrl())
})
afterAll(() => fixture.stop())

const Answer = z.looseObject({ task_id: z.string().optional(), error: z.object({ code: z.string(), message: z.string(), field: z.string().optional() }).optional() })
async function submit(workspace: unknown): Promise<z.infer<typeof Answer>> {
  const response = await fixture.request('/api/tasks', { method: 'POST', body: JSON.stringify({ task_description: 'x', mode: 'docker', workspace }) })
  return Answer.parse(await response.json())
}

test('a task tells which workspace it asked for; its ticket needs a worker that knows how', async () => {
  const git = { url: 'https://GIT.example/team/app.git', ref: 'main', credential: 'bot', push: true }
  const asked = await submit({ git })
  expect(asked).toMatchObject({ workspace: { git: { ...git, url: 'https://git.example/team/app.git' } } })
  expect(await submit({ name: 'app' })).toMatchObject({ status: 'queued', workspace: { name: 'app' } })
  expect(await submit({})).not.toHaveProperty('workspace')
  expect(await fixture.ledger.get(asked.task_id ?? '')).toMatchObject({ workspace: { git: { ref: 'main' } } })
})

test('an agent has so many named workspaces: another name is refused with the limit', async () => {
  for (const name of ['app', 'other']) expect(await submit({ name })).toMatchObject({ status: 'queued' })
  expect(await submit({ name: 'third' })).toMatchObject({ error: { code: 'overloaded', field: 'workspace.name', message: expect.stringContaining('allowed: 2') as string } })
})

test.each([
  [{ git: { url: 'https://bot:hunter2@git.example/a' } }, 'workspace.git.url', 'credential'], [{ git: { url: 'ext::sh -c id' } }, 'workspace.git.url', 'https://'], [{ git: { url: 'https://git.example/a', ref: '--upload-pack=id' } }, 'workspace.git.ref', 'branch'],
  [{ git: { url: 'https://git.example/a', push: true } }, 'workspace.git.credential', 'credential'], [{ git: { url: 'https://git.example/a', depth: 1 } }, 'workspace.git', 'depth'], [{ git: { url: 'https://git.example/a' }, name: 'x' }, 'workspace.name', 'git'],
  [{ name: '../x' }, 'workspace.name', 'a-z'],
])('%j is refused by its field, and not repeated', async (workspace, field, word) => {
  const { error } = await submit(workspace)
  expect(error).toMatchObject({ code: 'invalid_input', field })
  expect(error?.message).toContain(word)
  expect(JSON.stringify(error)).not.toContain('hunter2')
})

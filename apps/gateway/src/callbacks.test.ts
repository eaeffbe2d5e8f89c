import { expect, test } from 'vitest'
import { startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient } from './mcp-clients.ts'

test('a task may name a callback_url within what the deployment allows, and the record has it', async () => {
  const fixture = await startGatewayFixture({ WEBHOOK_CALLBACK_ALLOW: 'https://hooks.example/longshore/, https://other.example' })
  const client = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  const submit = { task_description: 'x', idempotency_key: 'k', callback_url: 'https://hooks.example/longshore/1?token=hunter2' }
  const { task_id } = await callOk(client, 'opencode_execute_task', submit)
  expect((await fixture.ledger.get(String(task_id)))?.callback_url).toBe('https://hooks.example/longshore/1?token=hunter2')
  expect(await callOk(client, 'opencode_execute_task', submit)).toMatchObject({ task_id, is_new: false })
  expect(await callRefused(client, 'opencode_execute_task', { ...submit, callback_url: 'https://other.example/' })).toMatchObject({ code: 'idempotency_conflict' })

  const refused = await callRefused(client, 'opencode_execute_task', { task_description: 'x', callback_url: 'https://evil.example/?token=hunter2' })
  expect(refused).toMatchObject({ code: 'invalid_input', field: 'callback_url', message: 'callback_url: got an address on https://evil.example, allowed: https://hooks.example/longshore/ and what is beneath, https://other.example and what is beneath' })
  expect(JSON.stringify(await callRefused(client, 'opencode_execute_task', { task_description: 'x', callback_url: 'https://user:hunter2@hooks.example/longshore/' }))).not.toContain('hunter2')
  await client.close()
  await fixture.stop()
})

test('without a list no task may name one', async () => {
  const fixture = await startGatewayFixture()
  const client = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  expect(await callRefused(client, 'opencode_execute_task', { task_description: 'x', callback_url: 'https://hooks.example/' })).toMatchObject({ code: 'invalid_input', message: expect.stringContaining('allowed: none here') as string })
  await client.close()
  await fixture.stop()
})

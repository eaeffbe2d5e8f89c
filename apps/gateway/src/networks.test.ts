import { expect, test } from 'vitest'
import { startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient } from './mcp-clients.ts'

test.each([
  [{}, ['provider', 'allowlist'], ['full']],
  [{ EGRESS_MOST: 'provider' }, ['provider'], ['allowlist', 'full']],
  [{ EGRESS_POLICY: 'full' }, ['provider', 'allowlist', 'full'], []],
  [{ EGRESS: 'off' }, ['full'], ['provider', 'allowlist']],
])('with %j a task may ask for %j and not for %j', async (env, allowed, refused) => {
  const fixture = await startGatewayFixture(env)
  const client = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  for (const network of allowed) {
    const { task_id } = await callOk(client, 'opencode_execute_task', { task_description: 'x', network })
    expect(await callOk(client, 'get_task_status', { task_id })).toMatchObject({ network })
  }
  for (const network of refused) {
    expect(await callRefused(client, 'opencode_execute_task', { task_description: 'x', network }))
      .toMatchObject({ code: 'invalid_input', field: 'network', message: `network: got ${network}, allowed: ${allowed.join(', ')} here` })
  }
  expect(await callRefused(client, 'opencode_execute_task', { task_description: 'x', network: 'internet' })).toMatchObject({ code: 'invalid_input', field: 'network' })
  expect(await callOk(client, 'opencode_execute_task', { task_description: 'x' })).not.toHaveProperty('network')
  await client.close()
  await fixture.stop()
})

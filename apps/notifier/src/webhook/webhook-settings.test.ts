import { expect, test } from 'vitest'

import { loadSettings } from '@longshore/runtime'
import { aSecret } from '../testing/hook-receiver.ts'
import { webhookFaults } from './webhook-sink-of.ts'

const SECRET = aSecret()

test.each([
  [{}, []],
  [{ WEBHOOK_URL: 'https://hooks.example/', WEBHOOK_SECRET: SECRET }, []],
  [{ WEBHOOK_URL: 'https://hooks.example/' }, ['WEBHOOK_SECRET: not set, but WEBHOOK_URL needs it']],
  [{ WEBHOOK_CALLBACK_ALLOW: 'https://*' }, ['WEBHOOK_CALLBACK_SECRET: not set, but WEBHOOK_CALLBACK_ALLOW needs it']],
  [{ WEBHOOK_CALLBACK_ALLOW: 'https://*', WEBHOOK_SECRET: `${aSecret()}, ${SECRET}`, WEBHOOK_CALLBACK_SECRET: SECRET }, ['WEBHOOK_CALLBACK_SECRET: got a secret of WEBHOOK_SECRET, allowed: another one, because whoever verifies with it can sign, too']],
])('a notifier with settings %# says what is missing', (env, faults) => {
  expect(webhookFaults(loadSettings(env))).toEqual(faults)
})

test.each([
  ['WEBHOOK_CALLBACK_SECRET', 'whsec_, hunter2', 'whsec_ and 24 to 64 bytes in base64'], ['WEBHOOK_SECRET', 'hunter2', 'whsec_ and 24 to 64 bytes in base64'], ['WEBHOOK_SECRET', 'whsec_hunter2', 'whsec_ and 24 to 64 bytes in base64'],
  ['WEBHOOK_URL', 'ftp://x/?hunter2', 'a URL that begins with http:// or https://'], ['WEBHOOK_EVENTS', 'task.output', 'one or more of task.queued, '], ['WEBHOOK_EVENTS', ',', 'one or more of task.queued, '],
  ['WEBHOOK_CALLBACK_ALLOW', 'hooks.example', 'https://* or prefixes such as'], ['WEBHOOK_CALLBACK_ALLOW', 'https://user@hooks.example/', 'https://* or prefixes such as'], ['WEBHOOK_CALLBACK_ALLOW', 'https://*.example/', 'https://* or prefixes such as'], ['LETTA_AGENTS', 'a=b=c', 'agent ids, or pairs such as'], ['LETTA_API_URL', 'letta', 'a URL that begins with'], ['WORKSPACE_BLOCK_LIMIT', '10', 'a whole number from 2000 to 1000000'],
])('%s=%s is refused by name with what is allowed, and no secret is shown', (name, given, allowed) => {
  const load = () => loadSettings({ [name]: given })
  expect(load).toThrow(`${name}: got`)
  expect(load).toThrow(allowed)
  expect(load).not.toThrow('hunter2')
})

test('secrets of 24, 25, 26 and 64 bytes are taken', () => {
  const secrets = [24, 25, 26, 64].map((bytes) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`)
  expect(loadSettings({ WEBHOOK_SECRET: secrets.join(',') }).WEBHOOK_SECRET).toEqual(secrets)
})

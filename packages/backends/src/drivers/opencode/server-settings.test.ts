import { expect, test } from 'vitest'
import { secretsOf, serverConfig, serverEnvironment } from './server-settings.ts'

const WORKSPACE = { directory: '/s/t', repo: '/s/t/repo', state: '/s/t/state', control: '/s/t/control', baseline: '/s/t/baseline.git' }

test('our settings win over the model part, its timeouts over ours', () => {
  expect(serverConfig({ model: 'anthropic/x', permission: 'allow', autoupdate: true, provider: { own: { options: { timeout: 5, baseURL: 'http://a' } } } })).toMatchObject({
    autoupdate: false, share: 'disabled', permission: { external_directory: 'deny', question: 'allow' },
    provider: { own: { options: { timeout: 5, chunkTimeout: 120_000, baseURL: 'http://a' } }, anthropic: { options: { timeout: 600_000 } } },
  })
})

test('a provider key cannot replace what is ours', () => {
  const environment = serverEnvironment(WORKSPACE, { config: {}, env: { HOME: '/root', OPENAI_API_KEY: 'k', OPENCODE_SERVER_PASSWORD: 'x' } }, 'random', { path: '/bin', temporary: '/tmp' })
  expect(environment).toMatchObject({ HOME: '/s/t/state/home', OPENAI_API_KEY: 'k', OPENCODE_SERVER_PASSWORD: 'random', PATH: '/bin' })
})

test('all that must stay out of events is known, also what a login or a header holds', () => {
  const login = JSON.stringify({ anthropic: { type: 'oauth', access: 'the-access', refresh: 'the-refresh', expires: 1 }, openai: { type: 'api', key: 'the-key' } })
  const config = { model: 'a/b', provider: { a: { options: { apiKey: 'in-the-config', baseURL: 'http://a', headers: { Authorization: 'in-a-header' } } } } }
  const secrets = secretsOf({ config, env: { KEY: 'in-the-env', OPENCODE_AUTH_CONTENT: login }, auth: 'in-the-auth' }, 'password')
  expect(secrets.sort()).toEqual(['in-a-header', 'in-the-auth', 'in-the-config', 'in-the-env', 'password', 'the-access', 'the-key', 'the-refresh', login].sort())
})

import { expect, test } from 'vitest'
import { secretsOf, serverConfig, serverEnvironment } from './server-settings.ts'

const WORKSPACE = { directory: '/s/t', repo: '/s/t/repo', state: '/s/t/state', control: '/s/t/control', baseline: '/s/t/baseline.git' }

test('our settings win over the model part, its timeouts over ours', () => {
  expect(serverConfig({ model: 'anthropic/x', permission: 'allow', autoupdate: true, provider: { own: { options: { timeout: 5, baseURL: 'http://a' } } } })).toMatchObject({
    autoupdate: false, share: 'disabled', permission: { external_directory: 'deny', question: 'deny' },
    provider: { own: { options: { timeout: 5, chunkTimeout: 120_000, baseURL: 'http://a' } }, anthropic: { options: { timeout: 600_000 } } },
  })
})

test('a provider key cannot replace what is ours', () => {
  const environment = serverEnvironment(WORKSPACE, { config: {}, env: { HOME: '/root', OPENAI_API_KEY: 'k', OPENCODE_SERVER_PASSWORD: 'x' } }, 'random', { path: '/bin', temporary: '/tmp' })
  expect(environment).toMatchObject({ HOME: '/s/t/state/home', OPENAI_API_KEY: 'k', OPENCODE_SERVER_PASSWORD: 'random', PATH: '/bin' })
})

test('all that must stay out of events is known', () => {
  const model = { config: { provider: { a: { options: { apiKey: 'in-the-config' } } } }, env: { KEY: 'in-the-env' }, auth: 'in-the-auth' }
  expect(secretsOf(model, 'password').sort()).toEqual(['in-the-auth', 'in-the-config', 'in-the-env', 'password'])
})

import { describe, expect, test } from 'vitest'
import { guardModel } from './guarded-model.ts'

const WAY = { origin: 'http://172.30.0.1:4001', token: 'lse-token' }

describe('a guarded model', () => {
  test('takes keys out of the environment and leads the providers they belong to through the proxy', () => {
    const guarded = guardModel({ config: {}, env: { ANTHROPIC_API_KEY: 'sk-a', OPENAI_API_KEY: 'sk-o', MY_SETTING: 'mine' } })
    expect(guarded.providers).toEqual(expect.arrayContaining([
      { name: 'anthropic', base: 'https://api.anthropic.com/v1', key: 'sk-a', headers: {} },
      { name: 'openai', base: 'https://api.openai.com/v1', key: 'sk-o', headers: {} },
    ]))
    const { env, config } = guarded.through(WAY)
    expect(env).toEqual({
      ANTHROPIC_API_KEY: 'lse-token', OPENAI_API_KEY: 'lse-token', MY_SETTING: 'mine',
      ANTHROPIC_BASE_URL: 'http://172.30.0.1:4001/model/anthropic', OPENAI_BASE_URL: 'http://172.30.0.1:4001/model/openai/v1',
    })
    expect(config).toMatchObject({ provider: { anthropic: { options: { baseURL: 'http://172.30.0.1:4001/model/anthropic/v1', apiKey: 'lse-token' } } } })
  })

  test('takes keys and headers out of the configuration, keeps the rest of it, and sees through references to the environment', () => {
    const models = { m: { name: 'M' } }
    const guarded = guardModel({
      config: { model: 'acme corp/m', provider: { 'acme corp': { npm: 'x', models, options: { baseURL: 'https://acme.example/api/v2/', apiKey: '{env:ACME}', headers: { 'X-Org': 'org-secret' }, timeout: 5 } } } },
      env: { ACME: 'sk-acme', COPY: 'sk-acme' },
    })
    expect(guarded.providers).toContainEqual({ name: 'acme corp', base: 'https://acme.example/api/v2/', key: 'sk-acme', headers: { 'x-org': 'org-secret' } })
    const through = guarded.through(WAY)
    expect(through.config).toMatchObject({ model: 'acme corp/m', provider: { 'acme corp': { npm: 'x', models, options: { baseURL: 'http://172.30.0.1:4001/model/acme%20corp/api/v2', apiKey: 'lse-token', timeout: 5 } } } })
    expect(through.env).toEqual({ ACME: 'lse-token', COPY: 'lse-token' })
    expect(JSON.stringify(through)).not.toMatch(/sk-acme|org-secret/)
  })

  test('gives each agent its own part only, and the token for every key, whosever it is', () => {
    const guarded = guardModel({ config: {}, env: { ANTHROPIC_API_KEY: 'sk-a', OPENAI_API_KEY: 'sk-o' } })
    const { config, env } = guarded.through(WAY, { config: {}, env: { OPENAI_API_KEY: 'sk-o', COPY: 'sk-a', MINE: 'mine' } })
    expect(env).toEqual({ OPENAI_API_KEY: 'lse-token', COPY: 'lse-token', MINE: 'mine', OPENAI_BASE_URL: 'http://172.30.0.1:4001/model/openai/v1' })
    expect(Object.keys(Object(config['provider']))).toEqual(['openai', 'opencode'])
  })

  test.each([
    ['ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL', 'https://gateway.example/a/', 'https://gateway.example/a/v1', '/model/anthropic/a'],
    ['ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL', 'https://gateway.example/v1', 'https://gateway.example/v1', '/model/anthropic'],
    ['OPENAI_API_KEY', 'OPENAI_BASE_URL', 'http://10.0.0.1:4000/o', 'http://10.0.0.1:4000/o', '/model/openai/o'],
  ])('leads to the gateway that the operator gave with %s in %s: %s', (key, variable, given, base, path) => {
    const guarded = guardModel({ config: {}, env: { [key]: 'sk', [variable]: given } })
    expect(guarded.providers).toContainEqual(expect.objectContaining({ base, key: 'sk' }))
    expect(guarded.through(WAY).env).toEqual({ [key]: 'lse-token', [variable]: `http://172.30.0.1:4001${path}` })
    expect(() => guardModel({ config: {}, env: { [key]: 'sk', [variable]: 'sk-oops' } })).toThrow(`${variable}: not the URL of a model provider`)
  })

  test('takes the keys out of an OpenCode login, and says what it does not give', () => {
    const login = { anthropic: { type: 'api', key: 'sk-a' }, copilot: { type: 'oauth', refresh: 'r-secret', access: 'a-secret' }, unheard: { type: 'api', key: 'sk-u' } }
    for (const model of [{ config: {}, env: { OPENCODE_AUTH_CONTENT: JSON.stringify(login) } }, { config: {}, env: {}, auth: JSON.stringify(login) }]) {
      const guarded = guardModel(model)
      expect(guarded.providers).toContainEqual({ name: 'anthropic', base: 'https://api.anthropic.com/v1', key: 'sk-a', headers: {} })
      expect(guarded.withheld).toEqual([expect.stringContaining('"copilot" (oauth)'), expect.stringContaining('"unheard" (api) needs provider options.baseURL')])
      const through = guarded.through(WAY)
      expect(JSON.parse(through.auth ?? through.env['OPENCODE_AUTH_CONTENT'] ?? '')).toEqual({ anthropic: { type: 'api', key: 'lse-token' } })
      expect(JSON.stringify(through)).not.toMatch(/sk-|secret/)
    }
  })

  test('that nobody configured still leads to the free models, without showing more of them', () => {
    const guarded = guardModel({ config: {}, env: {} })
    expect(guarded.providers).toEqual([{ name: 'opencode', base: 'https://opencode.ai/zen/v1', headers: { authorization: 'Bearer public' } }])
    expect(guarded.through(WAY).config).toEqual({ provider: { opencode: { options: { baseURL: 'http://172.30.0.1:4001/model/opencode/zen/v1', headers: { 'x-api-key': 'lse-token' } } } } })
  })

  test('with a key that cannot be kept is refused by its name, without the key', () => {
    const refusal = () => guardModel({ config: { provider: { odd: { options: { apiKey: 'sk-odd' } } } }, env: {} })
    expect(refusal).toThrow('OPENCODE_CONFIG: the provider "odd" has a key and no options.baseURL')
    expect(refusal).not.toThrow('sk-odd')
  })
})

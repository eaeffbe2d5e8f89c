import { parseProfiles, type Profiles, SILENT } from '@longshore/contracts'
import { createMetrics, loadSettings } from '@longshore/runtime'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { buildEgress, proxyEnvironment } from './build-egress.ts'

const build = (env: Record<string, string>, profiles: Profiles = {}) => {
  const redis = new Redis({ lazyConnect: true })
  return buildEgress({ settings: loadSettings(env), profiles, env, redis, redisUrl: 'redis://127.0.0.1', deployment: 'default', version: '1', since: 1, registry: createMetrics('worker'), log: SILENT })
}

test('EGRESS=off is no way out of ours', () => {
  expect(build({ EGRESS: 'off' })).toBeUndefined()
})

test.each([
  ['EGRESS_ALLOW', 'https://example.com'], ['EGRESS_ALLOW', '*.10.0.0.1'], ['EGRESS_ALLOW', 'example.com:99999'], ['EGRESS_ALLOW', '*'],
  ['EGRESS_ALLOW_PRIVATE', 'example.com'], ['EGRESS_ALLOW_PRIVATE', '10.0.0.0/99'], ['EGRESS_ALLOW_PRIVATE', '10.1'],
])('%s=%s is refused by its name', (name, entry) => {
  expect(() => build({ [name]: `good.example,${entry}`.replace(name === 'EGRESS_ALLOW' ? '' : 'good.example,', '') })).toThrow(new RegExp(`^${name}: got "${entry.replaceAll(/[*.]/g, String.raw`\$&`)}"`))
})

test('a policy that is wider than the most is refused', () => {
  expect(() => build({ EGRESS_POLICY: 'full', EGRESS_MOST: 'allowlist' })).toThrow('EGRESS_POLICY: got "full", allowed: no more than EGRESS_MOST, which is allowlist')
  expect(() => build({ EGRESS_POLICY: 'all' })).toThrow('EGRESS_POLICY: got "all", allowed: provider, allowlist or full')
})

test('a profile that leads its agent to another address is refused by its name, unless there is no proxy', () => {
  const profiles = parseProfiles('{"codex":{"driver":"acp","command":["codex-acp"],"set":{"OPENAI_BASE_URL":"https://gateway.example/v1"}}}')
  expect(() => build({}, profiles)).toThrow('PROFILES_FILE: the profile "codex" sets OPENAI_BASE_URL')
  expect(build({ EGRESS: 'off' }, profiles)).toBeUndefined()
})

test('model calls take the host\'s own proxy, but not to the host itself', () => {
  expect(proxyEnvironment({})).toEqual({})
  expect(proxyEnvironment({ https_proxy: 'http://proxy:1', HTTP_PROXY: 'http://proxy:2', NO_PROXY: 'corp.example' }))
    .toEqual({ HTTPS_PROXY: 'http://proxy:1', HTTP_PROXY: 'http://proxy:2', NO_PROXY: 'corp.example,localhost,127.0.0.1,::1' })
})

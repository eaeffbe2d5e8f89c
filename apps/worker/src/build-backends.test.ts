import { resolve } from 'node:path'
import { expect, test } from 'vitest'

import { guardModel } from '@longshore/backends'
import { openSharedDirectory } from '@longshore/blobs'
import { parseProfiles, SILENT } from '@longshore/contracts'
import { loadSettings } from '@longshore/runtime'

import { dockerOptions, hiddenPaths, modelAccess, opencodeOptions, withLeastIsolation } from './build-backends.ts'
import { createShellBackend } from './testing/shell-backend.ts'


test('agents get the variables that RUNNER_ENV names and that are set, and no others', () => {
  const env = { RUNNER_ENV: 'OPENAI_API_KEY,NOT_SET', OPENAI_API_KEY: 'sk-x', OTHER: 'secret' }
  expect(modelAccess(loadSettings(env), env).env).toEqual({ OPENAI_API_KEY: 'sk-x' })
})

test('the egress proxy has the keys of all that agents may get: of the deployment, of profiles, and of what tasks may choose', () => {
  const env = { RUNNER_ENV: 'ANTHROPIC_API_KEY', TASK_ENV_NAMES: 'GROQ_API_KEY,NPM_TOKEN', ANTHROPIC_API_KEY: 'sk-a', OPENAI_API_KEY: 'sk-o', GROQ_API_KEY: 'sk-g', NPM_TOKEN: 'npm', MISTRAL_API_KEY: 'nobody-named-it' }
  const profiles = parseProfiles('{"codex":{"driver":"acp","command":["codex-acp"],"env":["OPENAI_API_KEY"]},"mine":{"driver":"opencode"}}')
  const { whole } = opencodeOptions({ settings: loadSettings(env), env, uid: 1, gid: 1, profiles, storage: { id: 's', root: '/s' }, blobs: openSharedDirectory('/b'), log: SILENT })
  expect(whole?.env).toEqual({ ANTHROPIC_API_KEY: 'sk-a', OPENAI_API_KEY: 'sk-o', GROQ_API_KEY: 'sk-g', NPM_TOKEN: 'npm' })
  expect(guardModel(whole ?? { config: {}, env: {} }).providers.map(({ name }) => name).toSorted()).toEqual(['anthropic', 'groq', 'openai', 'opencode'])
})

test('the scripted model is used where it is set up, and OPENCODE_MODEL has the last word', () => {
  const scripted = { SCRIPTED_PROVIDER_URL: 'http://127.0.0.1:4010/v1', SCRIPTED_PROVIDER_TOKEN: 'tok' }
  expect(modelAccess(loadSettings(scripted), {}).config).toMatchObject({ model: 'scripted/longshore-scripted', provider: { scripted: { options: { baseURL: 'http://127.0.0.1:4010/v1', apiKey: 'tok' } } } })
  expect(modelAccess(loadSettings({ OPENCODE_MODEL: 'openai/gpt', OPENCODE_CONFIG: '{"small_model":"openai/mini"}' }), {}).config).toEqual({ model: 'openai/gpt', small_model: 'openai/mini' })
})

test('a configuration that is no JSON object is refused by its name, without its content', () => {
  const refusal = () => modelAccess(loadSettings({ OPENCODE_CONFIG: '["sk-secret"]' }), {})
  expect(refusal).toThrow('OPENCODE_CONFIG: not a JSON object')
  expect(refusal).not.toThrow('sk-secret')
})

test('a mode that separates less than asked for is off, with the reason', async () => {
  const backend = createShellBackend('docker', '/nowhere')
  expect(await withLeastIsolation(backend, 'process').probe()).toEqual({ ok: true })
  expect(await withLeastIsolation(backend, 'container').probe()).toEqual({ ok: false, reason: 'its isolation is process, and MIN_ISOLATION asks for container' })
})

test('agents on this host see neither the state of `npm start` nor the socket of the engine', () => {
  expect(hiddenPaths(loadSettings({}))).toEqual([resolve('.longshore'), '/var/run/docker.sock'])
  expect(hiddenPaths(loadSettings({ LONGSHORE_HOME: '/srv/longshore', DOCKER_HOST: 'tcp://127.0.0.1:2375' }))).toEqual(['/srv/longshore'])
  expect(hiddenPaths(loadSettings({ LONGSHORE_HOME: '/srv/longshore', BLOBS_DIR: '/srv/blobs', DOCKER_HOST: 'tcp://127.0.0.1:2375' }))).toEqual(['/srv/longshore', '/srv/blobs'])
})

test.each([dockerOptions, opencodeOptions])('%o: servers and sessions are watched as the settings say', (optionsOf) => {
  const env = { OPENCODE_SERVER_HEALTH_CHECK_INTERVAL_MS: '700', OPENCODE_SERVER_RETRY_DELAY_MS: '300', OPENCODE_SERVER_MAX_RETRIES: '7', STALL_MS: '61000', STALL_TOOL_MS: '62000' }
  const { patience } = optionsOf({ settings: loadSettings(env), env, uid: 1, gid: 1, profiles: {}, storage: { id: 's', root: '/s' }, blobs: openSharedDirectory('/b'), log: SILENT })
  expect(patience).toEqual({ lookEveryMs: 700, retryDelayMs: 300, unreachableMs: 2_100, stallMs: 61_000, stallToolMs: 62_000 })
})

import { expect, test } from 'vitest'

import { loadSettings, settingRows, SettingsError } from './settings.ts'

test('an empty environment gives the documented defaults', () => {
  const settings = loadSettings({})
  expect(settings).toMatchObject({ MCP_HOST: '127.0.0.1', MCP_PORT: 3456, CONSOLE_PORT: 3457, MATRIX_ENABLED: false, RUNNER_TIMEOUT_MS: 300_000, WORKER_MODES: ['docker', 'opencode'] })
})

test.each([
  ['MCP_PORT', 'abc', 'a whole number from 0 to 65535'],
  ['MCP_PORT', '70000', 'a whole number from 0 to 65535'],
  ['CANARY_OPENCODE_PERCENT', '120', 'a number from 0 to 100'],
  ['MATRIX_ENABLED', 'perhaps', 'true or false'],
  ['REDIS_URL', 'localhost:6379', 'redis:// or rediss://'],
  ['RUNNER_MEMORY_LIMIT', 'lots', 'a size such as 512m or 2g'],
  ['WORKER_FILES_URL', 'http://worker.example:3461/behind/a/path', 'a URL of host and port alone'],
  ['WORKER_FILES_URL', 'worker', 'a URL that begins with'],
])('%s=%s is refused by name with what is allowed', (name, given, allowed) => {
  expect(() => loadSettings({ [name]: given })).toThrow(SettingsError)
  expect(() => loadSettings({ [name]: given })).toThrow(allowed)
  expect(() => loadSettings({ [name]: given })).toThrow(name)
})

test('a file size above what an answer can hold is lowered to it', () => {
  expect(loadSettings({ MAX_TASK_FILE_SIZE: String(1024 ** 3), WORKER_FILES_URL: 'http://worker.example:3461/' }).MAX_TASK_FILE_SIZE).toBe(8 * 1024 * 1024)
})

test('all faults are named at once, and a secret is not shown', () => {
  const load = () => loadSettings({ LONGSHORE_API_KEY: 'hunter2', MCP_PORT: 'x' })
  expect(load).toThrow(/LONGSHORE_API_KEY: got a value that is not shown/)
  expect(load).toThrow(/MCP_PORT/)
  expect(load).not.toThrow(/hunter2/)
})

test('Matrix without a homeserver is a contradiction that names what is missing', () => {
  expect(() => loadSettings({ MATRIX_ENABLED: 'true' })).toThrow(/MATRIX_HOMESERVER_URL: not set, but MATRIX_ENABLED=true needs it/)
})

test('one given room is for all tasks: a room per agent or task contradicts it', () => {
  const matrix = { MATRIX_ENABLED: 'true', MATRIX_HOMESERVER_URL: 'https://m.example', MATRIX_ACCESS_TOKEN: 't', MATRIX_USER_ID: '@b:m.example', MATRIX_ROOM_ID: '!r:m.example' }
  expect(() => loadSettings({ ...matrix, MATRIX_ROOMS: 'task' })).toThrow(/MATRIX_ROOMS: got "task", allowed: deployment, because MATRIX_ROOM_ID/)
  expect(() => loadSettings({ ...matrix, MATRIX_ROOMS: 'one' })).toThrow(/MATRIX_ROOMS: got "one", allowed: agent, deployment or task/)
  expect(loadSettings({ ...matrix, MATRIX_ROOMS: 'deployment' }).MATRIX_ROOMS).toBe('deployment')
})

test('every variable says what it means', () => {
  for (const row of settingRows()) expect(`${row.name}: ${row.about}`).toMatch(/: \S/)
})

import { expect, test } from 'vitest'

import { Choices, choicesOf, refusalOf } from './choices.ts'
import { allProfiles, parseProfiles } from './profile.ts'

test('a profile is what the file says, and everything that it leaves out is the deployment\'s', () => {
  const text = JSON.stringify({ codex: { driver: 'acp', image: 'registry.example/codex:1', command: ['codex-acp'], env: ['OPENAI_API_KEY'], auth_method: 'openai-api-key', memory_mb: 4096 } })
  expect(parseProfiles(text)['codex']).toEqual({
    driver: 'acp', image: 'registry.example/codex:1', command: ['codex-acp'], env: ['OPENAI_API_KEY'], auth_method: 'openai-api-key', memory_mb: 4096, set: {}, opencode_config: false, permission: 'allow', unasked: false,
  })
})

test.each([
  ['not JSON', '{', 'not JSON'],
  ['another driver', '{"a":{"driver":"ssh"}}', 'a.driver: driver: opencode, acp, command'],
  ['no command', '{"a":{"driver":"acp"}}', 'a.command: missing'],
  ['a command for OpenCode\'s server', '{"a":{"driver":"opencode","command":["x"]}}', 'a.command: not for the driver opencode'],
  ['a login for a plain command', '{"a":{"driver":"command","command":["x"],"auth_method":"y"}}', 'a.auth_method: only for the driver acp'],
  ['an environment that OpenCode would not get', '{"a":{"driver":"opencode","env":[]}}', 'a.env: only for the driver acp or command'],
  ['variables that OpenCode would not get', '{"a":{"driver":"opencode","set":{"A":"b"}}}', 'a.set: only for'],
  ['a refusal that nobody would hear', '{"a":{"driver":"command","command":["x"],"permission":"deny"}}', 'a.permission: only for the driver acp'],
  ['a plain command as OpenCode', '{"a":{"driver":"command","command":["x"],"opencode_config":true}}', 'a.opencode_config: only for the driver acp'],
  ['an agent that asks, as one that does not', '{"a":{"driver":"acp","command":["x"],"unasked":true}}', 'a.unasked: only for the driver command'],
  ['a field that there is not', '{"a":{"driver":"opencode","imgae":"x"}}', 'imgae'],
  ['a name that is none', '{"A b":{"driver":"opencode"}}', 'a profile name is'],
  ['an image that would be an option', '{"a":{"driver":"opencode","image":"--privileged"}}', 'a.image'],
  ['a variable that is none', '{"a":{"driver":"acp","command":["x"],"env":["A=B"]}}', 'a.env.0'],
])('%s is refused by its name', (_what, text, message) => {
  expect(() => parseProfiles(text)).toThrow(message)
})

test('a name of every object is no profile (G14)', () => {
  expect(Object.keys(parseProfiles('{"__proto__":{"driver":"opencode"}}'))).toEqual([])
})

test('two profiles are built in; RUNNER_COMMAND takes the place of OpenCode, and a file that of both', () => {
  expect(Object.keys(allProfiles({}, undefined))).toEqual(['opencode', 'opencode-acp'])
  expect(allProfiles({}, 'make test')).toMatchObject({ opencode: { driver: 'command', command: ['sh', '-c', 'make test'] }, command: { driver: 'command' } })
  expect(allProfiles(parseProfiles('{"opencode":{"driver":"opencode","image":"mine"}}'), 'make test')).toMatchObject({ opencode: { driver: 'opencode', image: 'mine' }, command: { driver: 'command' } })
})

const ALLOWED = { models: ['openai/gpt', 'openai/mini'], images: [], envNames: ['NPM_TOKEN'], maxCpus: 2, maxMemoryMb: 2048 }

test.each<[Choices, string]>([
  [{ model: 'other/one' }, 'model: "other/one", openai/gpt, openai/mini, TASK_MODELS'],
  [{ image: 'x:latest' }, 'image: "x:latest", none here, TASK_IMAGES'],
  [{ env: ['NPM_TOKEN', 'REDIS_URL'] }, 'env: "REDIS_URL", NPM_TOKEN, TASK_ENV_NAMES'],
  [{ cpu: 2.5 }, 'cpu: 2.5, at most 2 here, TASK_MAX_CPUS'],
  [{ memory_mb: 4096 }, 'memory_mb: 4096, at most 2048 here, TASK_MAX_MEMORY'],
])('the choice %o is refused, with what came and what is allowed', (choices, said) => {
  const refusal = refusalOf(choices, ALLOWED)
  expect(`${refusal?.field}: ${refusal?.got}, ${refusal?.allowed}, ${refusal?.setting}`).toBe(said)
})

test('what is allowed is no refusal, and who chooses nothing has no choices', () => {
  expect(refusalOf({ model: 'openai/mini', env: ['NPM_TOKEN'], cpu: 2, memory_mb: 2048 }, ALLOWED)).toBeUndefined()
  expect(choicesOf({ env: [] })).toBeUndefined()
})

test.each(['-v/:/host', 'a b', '', '../x', 'x\n--privileged', 'ünïcode'])('%j is no name of an image or a model (G14)', (text) => {
  expect(Choices.safeParse({ image: text }).success).toBe(false)
  expect(Choices.safeParse({ model: text }).success).toBe(false)
})

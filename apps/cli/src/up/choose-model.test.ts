import { expect, test } from 'vitest'
import { chooseModel } from './choose-model.ts'
import { startPercentOf } from './plan-stack.ts'
import { whereTasksRun } from './start-report.ts'

const LOGIN = JSON.stringify({ anthropic: { type: 'api', key: 'sk-secret' }, 'github-copilot': { type: 'oauth' } })

test('with nothing configured the model is scripted, and says why', () => {
  expect(chooseModel({ wanted: 'auto', env: { PATH: '/bin', OPENAI_API_KEY: '' } })).toEqual({ kind: 'scripted', why: 'no provider key and no OpenCode login found' })
})

test('scripted means scripted, whatever is configured', () => {
  expect(chooseModel({ wanted: 'scripted', env: { OPENAI_API_KEY: 'sk-x' }, authFile: LOGIN })).toMatchObject({ kind: 'scripted' })
})

test('a provider key of the environment is passed on by name', () => {
  expect(chooseModel({ wanted: 'auto', env: { OPENAI_API_KEY: 'sk-x' } })).toEqual({ kind: 'own', from: 'OPENAI_API_KEY', pass: ['OPENAI_API_KEY'], add: {} })
})

test('an OpenCode login goes to the agent in a variable, and what is told names no secret', () => {
  const model = chooseModel({ wanted: 'auto', env: {}, authFile: LOGIN })
  expect(model).toEqual({ kind: 'own', from: 'OpenCode login (anthropic, github-copilot)', pass: ['OPENCODE_AUTH_CONTENT'], add: { OPENCODE_AUTH_CONTENT: LOGIN } })
})

test.each(['', '{', '[]', 'null', '{}', '"x"'])('an auth file that holds %j is none', (authFile) => {
  expect(chooseModel({ wanted: 'auto', env: {}, authFile })).toMatchObject({ kind: 'scripted' })
})

test.each([
  [{}, { usable: true, detail: '' }, 0],
  [{}, { usable: false, detail: '' }, 100],
  [{ CANARY_OPENCODE_PERCENT: 0 }, { usable: false, detail: '' }, undefined],
  [{ OPENCODE_SERVER_ENABLED: false }, { usable: false, detail: '' }, undefined],
] as const)('with %j and an engine %j the start value is %s', (given, engine, percent) => {
  const settings = { CANARY_OPENCODE_PERCENT: undefined, OPENCODE_SERVER_ENABLED: undefined, ...given }
  expect(startPercentOf(settings, engine)).toBe(percent)
})

test('a rollout that sends tasks where they cannot run is warned of', () => {
  const engine = { usable: false, detail: 'no container engine answers' }
  expect(whereTasksRun(100, engine)).toEqual({ text: 'run in OpenCode mode (no container engine answers)' })
  expect(whereTasksRun(30, engine)).toMatchObject({ text: 'run in OpenCode mode for 30 % of agents, else in docker mode', warning: expect.stringContaining('no container engine answers') as string })
  expect(whereTasksRun(0, { usable: true, detail: 'image x' })).toEqual({ text: 'run in docker mode (image x)' })
})

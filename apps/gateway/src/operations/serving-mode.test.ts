import type { Mode } from '@longshore/contracts'
import type { Heartbeat, ModeReport } from '@longshore/queue'
import { expect, test } from 'vitest'

import { servingMode, type Wanted } from './serving-mode.ts'

const capabilities = { adopt: true, resume: true, steer: true, pause: true, usage: true, files: true }
const served = (...profiles: [string, string[]][]): ModeReport['profiles'] => profiles.map(([name, choices]) => ({ name, choices, capabilities }))
const ALL = ['model', 'image', 'cpu', 'memory_mb', 'env']
const docker: ModeReport = { mode: 'docker', ok: true, isolation: 'container', capabilities, profiles: served(['opencode', ALL], ['codex', ALL]) }
const opencode: ModeReport = { mode: 'opencode', ok: true, isolation: 'process', capabilities, profiles: served(['opencode', ['model', 'env']]) }
const worker = (...modes: ModeReport[]): Heartbeat => ({ v: 1, name: 'a', host: 'h', version: '0', started_at: 1, slots: 1, running: 0, draining: false, modes })
const older = { ...docker, profiles: undefined }

test.each<[string, Wanted, Mode, Mode | undefined, Heartbeat[], string]>([
  ['who asks for nothing gets the rollout\'s choice, whoever is there', { profile: 'opencode', choices: undefined }, 'opencode', undefined, [], 'opencode, served'],
  ['a profile takes the mode that has it', { profile: 'codex', choices: undefined }, 'opencode', undefined, [worker(docker, opencode)], 'docker, served'],
  ['so does a choice', { profile: 'opencode', choices: { cpu: 1 } }, 'opencode', undefined, [worker(docker), worker(opencode)], 'docker, served'],
  ['a choice that both keep leaves it to the rollout', { profile: 'opencode', choices: { model: 'a/b' } }, 'opencode', undefined, [worker(docker, opencode)], 'opencode, served'],
  ['nobody is there: it waits in the mode that could', { profile: 'codex', choices: undefined }, 'opencode', undefined, [], 'docker, not served'],
  ['its mode is off: it waits there', { profile: 'codex', choices: undefined }, 'docker', undefined, [worker({ ...docker, ok: false, reason: 'x' })], 'docker, not served'],
  ['a mode that was asked for is kept', { profile: 'opencode', choices: { model: 'a/b' } }, 'docker', 'opencode', [worker(docker, opencode)], 'opencode, served'],
  ['a mode that was asked for and does not have it', { profile: 'codex', choices: undefined }, 'docker', 'opencode', [worker(docker, opencode)], 'mode: got "opencode", and no worker that is there runs the profile codex in that mode'],
  ['that could not have it, and nobody is there', { profile: 'opencode', choices: { image: 'x' } }, 'docker', 'opencode', [], 'mode: got "opencode", and no worker that is there runs the profile opencode with a choice of image in that mode'],
  ['workers of before this version know one profile', { profile: 'codex', choices: undefined }, 'docker', undefined, [worker(older)], 'profile: got "codex", and no worker that is there runs the profile codex'],
])('%s', (_what, wanted, preferred, explicit, workers, said) => {
  let answer: string
  try {
    const { mode, isServed } = servingMode(wanted, preferred, explicit, workers)
    answer = `${mode}, ${isServed ? 'served' : 'not served'}`
  } catch (error) {
    answer = error instanceof Error ? error.message : ''
  }
  expect(answer).toBe(said)
})

import { expect, test } from 'vitest'

import { choicesIn } from './choice-options.ts'
import { Complaint } from './command.ts'

test('flags become what the gateway takes, and what is not given stays away', () => {
  expect(choicesIn({ profile: 'codex', cpu: '1.5', 'memory-mb': '1024', env: 'NPM_TOKEN, OTHER', 'max-attempts': '2' }))
    .toEqual({ profile: 'codex', cpu: 1.5, memory_mb: 1024, env: ['NPM_TOKEN', 'OTHER'], max_attempts: 2 })
  expect(choicesIn({ sync: true })).toEqual({})
})

test('a number that is none is a complaint that names the flag', () => {
  expect(() => choicesIn({ cpu: 'two' })).toThrow(Complaint)
  expect(() => choicesIn({ 'memory-mb': '-1' })).toThrow('--memory-mb: got "-1", allowed: a number.')
})

import { expect, test } from 'vitest'

import { type Handle, taskIdFrom } from '@longshore/contracts'

import { ticketOf } from './record.ts'

const task = { id: taskIdFrom(new Uint8Array(52)), ticket: 2, agent_id: 'agent-a', mode: 'docker', title: 'a task', route: undefined } as const
const handle: Handle = { v: 1, mode: 'docker', data: {} }
const isTakeover = (of: Handle | undefined) => ticketOf({ ...task, handle: of }).takeover === true

test('G7: the ticket of a task of which something runs or is kept says so', () => {
  expect([isTakeover(handle), isTakeover({ ...handle, checkpoint: true })]).toEqual([true, true])
})

test('a task that was not begun, or of which something is only there to be ended, waits for its turn', () => {
  expect([isTakeover(undefined), isTakeover({ ...handle, discard: true })]).toEqual([false, false])
})

test('a profile of its own, or a choice, needs a worker that knows of them; the ticket names the profile and nothing else of it', () => {
  expect(ticketOf({ ...task, handle: undefined, profile: 'opencode', env: [] })).toMatchObject({ min_worker: 1 })
  expect(ticketOf({ ...task, handle: undefined, profile: 'opencode' }).profile).toBeUndefined()
  expect(ticketOf({ ...task, handle: undefined, profile: 'codex', env: ['NPM_TOKEN'] })).toEqual({ ...ticketOf({ ...task, handle: undefined }), profile: 'codex', min_worker: 5 })
  expect(ticketOf({ ...task, handle: undefined, profile: 'opencode', model: 'a/b' })).toMatchObject({ min_worker: 5 })
})

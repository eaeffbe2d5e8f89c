import type { Backend } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { DIRECTIVES } from './fixtures/dialects.ts'
import { record, textOf } from './fixtures/record.ts'
import { createScriptedBackend } from './scripted-backend.ts'

async function make(): Promise<BackendUnderTest> {
  const backend = createScriptedBackend({ mode: 'docker' })
  return {
    backend,
    storageRoot: '', // it has no files
    leftovers: (taskId) => leftoversOf(backend, taskId),
    kill: () => Promise.reject(new Error('only what resumes is killed')),
    isRunning: () => Promise.resolve(false), // it has no processes
    close: () => backend.close(),
  }
}

async function leftoversOf(backend: Backend, taskId: string): Promise<string[]> {
  return (await backend.list()).filter((found) => found.taskId === taskId).map(({ handle }) => String(handle.data['scripted']))
}

describeBackend('the scripted backend', { make, dialect: { ...DIRECTIVES, until: () => '[[sleep 3000]]' }, profile: 'opencode', ownPlace: false, resumes: false, steers: true, lacks: ['adopt', 'files'] })

test('without a script it stores one handle, says one thing in one step and is over', async () => {
  const backend = createScriptedBackend({ mode: 'docker' })
  const one = record('anything')
  const { outcome } = await backend.start(one.task, one.run)
  expect(await outcome).toMatchObject({ kind: 'completed', result: { output: '[scripted] done' } })
  expect([one.handles.length, one.positions.length]).toEqual([1, 1])
  expect(textOf(one.events)).toBe('[scripted] done')
})

test('it lets go when its worker does, before it has said anything', async () => {
  const one = record('anything')
  const { outcome } = await createScriptedBackend({ mode: 'docker', runMs: 60_000 }).start(one.task, one.run)
  one.letGo.abort()
  await expect(outcome).rejects.toThrow('aborted')
  expect(one.events).toEqual([])
})

test('a script that is disposed of while its owner looks on is lost', async () => {
  const backend = createScriptedBackend({ mode: 'docker' })
  const one = record('[[say begun]] [[hang]]')
  const { outcome, handle } = await backend.start(one.task, one.run)
  await backend.dispose(handle, one.run)
  expect(await outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' }, result: { output: 'begun' } })
  expect(await backend.list()).toEqual([])
})

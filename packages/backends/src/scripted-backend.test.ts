import { expect, test } from 'vitest'
import { record, textOf } from './fixtures/record.ts'
import { createScriptedBackend } from './scripted-backend.ts'

test('the scripted backend stores a handle, says one thing and is over', async () => {
  const backend = createScriptedBackend({ mode: 'docker' })
  const one = record('anything')
  const { outcome } = await backend.start(one.task, one.run)
  expect(await outcome).toMatchObject({ kind: 'completed', result: { output: '[scripted] done' } })
  expect(one.handles).toHaveLength(1)
  expect(textOf(one.events)).toBe('[scripted] done')
})

test('the scripted backend lets go when its worker does', async () => {
  const one = record('anything')
  const { outcome } = await createScriptedBackend({ mode: 'docker', runMs: 60_000 }).start(one.task, one.run)
  one.letGo.abort()
  await expect(outcome).rejects.toThrow('aborted')
  expect(one.events).toEqual([])
})

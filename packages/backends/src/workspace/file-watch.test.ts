import { SILENT } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { redactor } from '../text.ts'
import { createFileWatch } from './file-watch.ts'
import { baselineOf } from './prepare.ts'
import { makeWorkspace } from './testing-workspace.ts'

test('G14: a file that an agent named after a secret brings it into no event', async () => {
  const task = await makeWorkspace()
  try {
    await task.put('of-planted-secret/named-planted-secret.txt', 'x')
    const { events } = await createFileWatch(task.workspace, SILENT, redactor(['planted-secret'])).scan(await baselineOf(task.workspace) ?? '')
    expect(events).toEqual([{ type: 'task.file_changed', payload: { path: 'of-[redacted]/named-[redacted].txt', change: 'added' } }])
  } finally {
    await task.remove()
  }
})

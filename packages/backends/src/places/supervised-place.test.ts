import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { record } from '../fixtures/record.ts'
import { prepareWorkspace } from '../workspace/prepare.ts'
import { openStorage, workspaceOf } from '../workspace/storage.ts'
import { supervisedPlace } from './supervised-place.ts'

test('a server that names another address than its own is not followed there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'longshore-supervised-'))
  await chmod(folder, 0o755)
  const [storage, binary] = [await openStorage(join(folder, 'workspaces')), join(folder, 'opencode')]
  await writeFile(binary, '#!/bin/sh\necho "listening on http://192.0.2.1:80"\necho "listening on http://127.0.0.1:5.evil.example"\necho "listening on http://127.0.0.1:5"\nexec sleep 60\n', { mode: 0o755 })
  const place = await supervisedPlace({ deployment: 'suite-place', binary, model: { config: {}, env: {} }, path: process.env['PATH'] ?? '', storage, hidden: [] })
  const { task, run } = record('')
  const launch = { ...run, task, permissions: [], workspace: workspaceOf(storage, task.id) }
  await prepareWorkspace(launch.workspace, place.owner)
  const data = await place.start(launch, place.reserve(launch))
  try {
    expect(data['url']).toBe('http://127.0.0.1:5')
  } finally {
    await place.remove(data, SILENT)
    await rm(folder, { recursive: true, force: true })
  }
})

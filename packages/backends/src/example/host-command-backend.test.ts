import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BackendUnderTest, describeBackend } from '../backend.testsuite.ts'
import { SHELL } from '../fixtures/dialects.ts'
import { commandLines, processesOf } from '../fixtures/processes.ts'
import { record, successorOf, textOf } from '../fixtures/record.ts'
import { openStorage, type Storage } from '../workspace/storage.ts'
import { createHostCommandBackend, type HostCommandOptions } from './host-command-backend.ts'

const SECRET = 'the-key-of-the-provider'

function optionsOf(storage: Storage): HostCommandOptions {
  return { mode: 'docker', deployment: 'suite-host', storage, command: ['sh', '-s'], env: { PROVIDER_KEY: SECRET }, path: process.env['PATH'] ?? '', hidden: [] }
}

async function make(): Promise<BackendUnderTest> {
  const storageRoot = await mkdtemp(join(tmpdir(), 'longshore-host-command-'))
  const backend = await createHostCommandBackend(optionsOf(await openStorage(storageRoot)))
  return {
    backend,
    storageRoot,
    leftovers: processesOf,
    kill: async (taskId) => {
      for (const pid of await processesOf(taskId)) process.kill(Number(pid), 'SIGKILL')
    },
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      await rm(storageRoot, { recursive: true, force: true })
    },
  }
}

describeNeeding('namespaces', 'the example of the guide', () => {
  describeBackend('a plain command as a process of this host', { make, dialect: SHELL, profile: 'shell', ownPlace: true, resumes: false })
})

describeNeeding('namespaces', 'what the example keeps beyond the suite', () => {
  let under: BackendUnderTest
  beforeAll(async () => {
    under = await make()
  })
  afterAll(() => under.close())

  test('a task begins in the workspace that it asks for, and what it chose is not left unheeded', async () => {
    const run = async (prompt: string) => {
      const one = record(prompt, { workspace: { name: 'app' } })
      const execution = await under.backend.start(one.task, one.run)
      await execution.outcome
      await under.backend.dispose(one.handles.at(-1)!, one.run)
      return textOf(one.events)
    }
    await run('echo kept > a.txt')
    expect(await run('cat a.txt')).toBe('kept\n')
    const one = record('echo', { model: 'a/b' })
    await expect(under.backend.start(one.task, one.run)).rejects.toMatchObject({ code: 'not_allowed', message: expect.stringContaining('model') as string })
  })

  test('a command that ended while nobody looked is adopted with its last words and its end', async () => {
    const one = record('echo first; sleep 1; echo last; exit 3')
    await under.backend.start(one.task, one.run)
    await waitFor(() => textOf(one.events) === 'first\n', { what: 'its first words' })
    one.letGo.abort()
    await waitFor(async () => (await under.leftovers(one.task.id)).length === 0, { what: 'the command to end' })

    const next = successorOf(one)
    const execution = await under.backend.attach(next.task, one.handles.at(-1)!, next.run)
    expect(await execution?.outcome).toMatchObject({ kind: 'failed', failure: { code: 'agent_error' }, result: { output: 'first\nlast\n', exit_code: 3 } })
    expect(textOf(next.events)).toBe('last\n')
    await under.backend.dispose(one.handles.at(-1)!, next.run)
  })

  test('a sweep finds nothing of another deployment (G10)', async () => {
    const one = record('sleep 300')
    const { handle } = await under.backend.start(one.task, one.run)
    one.letGo.abort()
    const neighbour = await createHostCommandBackend({ ...optionsOf(await openStorage(under.storageRoot)), deployment: 'suite-host-2' })
    expect(await neighbour.list()).toEqual([])
    await under.backend.dispose(handle, one.run)
  })

  test('what runs on another host or storage is neither gone nor ended: only a worker there can say', async () => {
    const one = record('sleep 300')
    const { handle } = await under.backend.start(one.task, one.run)
    one.letGo.abort()
    for (const elsewhere of [{ ...handle, engine_id: 'another host' }, { ...handle, storage_id: 'another storage' }]) {
      await expect(under.backend.attach(one.task, elsewhere, one.run)).rejects.toMatchObject({ code: 'backend_unavailable' })
      await expect(under.backend.dispose(elsewhere, one.run)).rejects.toMatchObject({ code: 'backend_unavailable' })
    }
    await under.backend.dispose(handle, one.run)
  })

  test('a secret of its environment is not repeated, and nothing of the worker\'s is in there', async () => {
    const one = record('env')
    const execution = await under.backend.start(one.task, one.run)
    expect(await execution.outcome).toMatchObject({ kind: 'completed' })
    expect(textOf(one.events)).toContain('PROVIDER_KEY=[redacted]')
    expect(textOf(one.events)).not.toContain(SECRET)
    expect(textOf(one.events)).not.toContain('VITEST')
    await under.backend.dispose(execution.handle, one.run)
  })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { describeNeeding } from '@longshore/testkit'
import { z } from 'zod'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { DIRECTIVES } from './fixtures/dialects.ts'
import { type OpencodeServer, startOpencodeServer } from './fixtures/opencode-server.ts'
import { commandLines, killServer, processesOf } from './fixtures/processes.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { createOpencodeMode } from './opencode-mode.ts'
import { openStorage } from './workspace/storage.ts'

async function supervised(): Promise<BackendUnderTest> {
  const storageRoot = await mkdtemp(join(tmpdir(), 'longshore-opencode-mode-'))
  const { provider, model } = await scriptedModel()
  const backend = await createOpencodeMode({ deployment: 'suite-process', storage: await openStorage(storageRoot), model, path: process.env['PATH'] ?? '', log: SILENT })
  return {
    backend,
    storageRoot,
    leftovers: processesOf,
    kill: killServer,
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      await provider.stop()
      await rm(storageRoot, { recursive: true, force: true })
    },
  }
}

async function remote(): Promise<BackendUnderTest> {
  const storageRoot = await mkdtemp(join(tmpdir(), 'longshore-remote-'))
  const [storage, { provider, model }] = await Promise.all([openStorage(storageRoot), scriptedModel()])
  const server = await startOpencodeServer(storage, model)
  const backend = await createOpencodeMode({ deployment: 'suite-remote', storage, model, server, path: '', log: SILENT })
  return {
    backend,
    storageRoot,
    leftovers: (taskId) => sessionsIn(server, join(storageRoot, taskId, 'repo')),
    kill: () => server.restart(),
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      await server.stop()
      await provider.stop()
      await rm(storageRoot, { recursive: true, force: true })
    },
  }
}

async function sessionsIn({ url, password }: OpencodeServer, directory: string): Promise<string[]> {
  const asked = new URL('/session', url)
  asked.searchParams.set('directory', directory)
  const response = await fetch(asked, { headers: { authorization: `Basic ${btoa(`opencode:${password}`)}` } })
  return z.array(z.object({ id: z.string(), directory: z.string() })).parse(await response.json()).filter((one) => one.directory === directory).map((one) => one.id)
}

describeNeeding('opencode', 'OpenCode mode', () => {
  describeBackend('OpenCode in a supervised process', { make: supervised, dialect: DIRECTIVES, profile: 'opencode', ownPlace: true, resumes: true, steers: true, asks: true })
  describeBackend('OpenCode on a remote server', { make: remote, dialect: DIRECTIVES, profile: 'opencode', ownPlace: false, resumes: true, steers: true, asks: true })
})

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { describeNeeding } from '@longshore/testkit'
import { z } from 'zod'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { serverEnvironment } from './drivers/opencode/server-settings.ts'
import { DIRECTIVES } from './fixtures/dialects.ts'
import { commandLines, processesOf } from './fixtures/processes.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { createOpencodeMode } from './opencode-mode.ts'
import { openStorage, workspaceOf } from './workspace/storage.ts'

const PASSWORD = 'the-password-of-the-server'

async function supervised(): Promise<BackendUnderTest> {
  const storageRoot = await mkdtemp(join(tmpdir(), 'longshore-opencode-mode-'))
  const { provider, model } = await scriptedModel()
  const backend = await createOpencodeMode({ deployment: 'suite-process', storage: await openStorage(storageRoot), model, path: process.env['PATH'] ?? '', log: SILENT })
  return {
    backend,
    storageRoot,
    leftovers: processesOf,
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      await provider.stop()
      await rm(storageRoot, { recursive: true, force: true })
    },
  }
}

/** A server as an operator runs it: one for all tasks, configured by them. */
async function remote(): Promise<BackendUnderTest> {
  const storageRoot = await mkdtemp(join(tmpdir(), 'longshore-remote-'))
  const [storage, { provider, model }] = await Promise.all([openStorage(storageRoot), scriptedModel()])
  const home = workspaceOf(storage, 'the-server')
  const child = spawn(createRequire(import.meta.url).resolve('opencode-ai/bin/opencode.exe'), ['serve', '--port', '0'], {
    cwd: storageRoot, stdio: ['ignore', 'pipe', 'ignore'], env: serverEnvironment(home, model, PASSWORD, { path: process.env['PATH'] ?? '', temporary: tmpdir() }),
  })
  const url = await addressOf(child)
  const backend = await createOpencodeMode({ deployment: 'suite-remote', storage, model, server: { url, password: PASSWORD }, path: '', log: SILENT })
  return {
    backend,
    storageRoot,
    leftovers: (taskId) => sessionsIn(url, join(storageRoot, taskId, 'repo')),
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      await provider.stop()
      await rm(storageRoot, { recursive: true, force: true })
    },
  }
}

async function addressOf(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const text of child.stdout ?? []) {
    said += String(text)
    const url = /listening on (http:\S+)/.exec(said)?.[1]
    if (url !== undefined) return url
  }
  throw new Error(`the server ended: ${said}`)
}

async function sessionsIn(url: string, directory: string): Promise<string[]> {
  const asked = new URL('/session', url)
  asked.searchParams.set('directory', directory)
  const response = await fetch(asked, { headers: { authorization: `Basic ${btoa(`opencode:${PASSWORD}`)}` } })
  return z.array(z.object({ id: z.string(), directory: z.string() })).parse(await response.json()).filter((one) => one.directory === directory).map((one) => one.id)
}

describeNeeding('opencode', 'OpenCode mode', () => {
  describeBackend('OpenCode in a supervised process', { make: supervised, dialect: DIRECTIVES, profile: 'opencode', ownPlace: true })
  describeBackend('OpenCode on a remote server', { make: remote, dialect: DIRECTIVES, profile: 'opencode', ownPlace: false })
})

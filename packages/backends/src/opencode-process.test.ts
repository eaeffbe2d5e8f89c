import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { describeNeeding, scriptedProviderConfig, startScriptedProvider } from '@longshore/testkit'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { DIRECTIVES } from './fixtures/dialects.ts'
import { opencodeBinary } from './fixtures/opencode-binary.ts'
import { commandLines, processesOf } from './fixtures/processes.ts'
import { createOpencodeBackend } from './opencode-backend.ts'
import { supervisedPlace } from './places/supervised-place.ts'
import { openStorage } from './workspace/storage.ts'

async function make(): Promise<BackendUnderTest> {
  const root = await mkdtemp(join(tmpdir(), 'longshore-process-'))
  const provider = await startScriptedProvider({ log: SILENT, token: 'the-token-of-the-provider' })
  const model = { config: scriptedProviderConfig(provider.url, 'the-token-of-the-provider'), env: {} }
  const place = await supervisedPlace({ deployment: 'suite', binary: opencodeBinary(), model, path: process.env['PATH'] ?? '' })
  const backend = createOpencodeBackend({ mode: 'opencode', place, storage: await openStorage(root), model })
  return {
    backend,
    storageRoot: root,
    leftovers: processesOf,
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      await provider.stop()
      await rm(root, { recursive: true, force: true })
    },
  }
}

describeNeeding('opencode', 'supervised processes', () => {
  describeBackend('OpenCode in a supervised process', { make, dialect: DIRECTIVES, profile: 'opencode', ownPlace: true })
})

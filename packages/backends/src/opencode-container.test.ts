import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage, scriptedProviderConfig, startScriptedProvider } from '@longshore/testkit'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { DIRECTIVES } from './fixtures/dialects.ts'
import { commandLines } from './fixtures/processes.ts'
import { createOpencodeBackend } from './opencode-backend.ts'
import { containerPlace } from './places/container-place.ts'
import { DEFAULT_LIMITS, LABEL } from './places/container-spec.ts'
import { createContainers } from './places/containers.ts'
import { openStorage } from './workspace/storage.ts'

const TOKEN = 'the-token-of-the-provider'

async function make(): Promise<BackendUnderTest> {
  const root = await mkdtemp(join(tmpdir(), 'longshore-container-'))
  const [engine, image, storage] = await Promise.all([engineHost(), runnerImage(), openStorage(root)])
  const provider = await startScriptedProvider({ log: SILENT, token: TOKEN })
  const model = { config: scriptedProviderConfig(provider.url, TOKEN), env: {} }
  const containers = createContainers({
    deployment: 'suite-opencode', engine, storage, user: { uid: 1000, gid: 1000 }, limits: DEFAULT_LIMITS, hostService: { host: '127.0.0.1', port: provider.port }, log: SILENT,
  })
  const place = containerPlace({ containers, image, model, hostOrigin: new URL(provider.url).origin })
  const backend = createOpencodeBackend({ mode: 'docker', place, storage, model })
  return {
    backend,
    storageRoot: root,
    leftovers: async (taskId) => (await containers.docker.listContainers({ all: true, filters: { label: [`${LABEL.task}=${taskId}`] } })).map((one) => one.Id),
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      await provider.stop()
      await rm(root, { recursive: true, force: true })
    },
  }
}

describeNeeding(['docker', 'opencode'], 'containers', () => {
  describeBackend('OpenCode in a container', { make, dialect: DIRECTIVES, profile: 'opencode', ownPlace: true })
})

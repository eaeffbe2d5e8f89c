import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage } from '@longshore/testkit'
import { type BackendUnderTest, describeBackend } from './backend.testsuite.ts'
import { createDockerMode } from './docker-mode.ts'
import { DIRECTIVES, SHELL } from './fixtures/dialects.ts'
import { commandLines } from './fixtures/processes.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { LABEL } from './places/container-spec.ts'
import { connectEngine } from './places/engine.ts'
import { openStorage } from './workspace/storage.ts'

/** A deployment of its own for each suite: they run at the same time. */
async function make(deployment: string): Promise<BackendUnderTest> {
  const storageRoot = await mkdtemp(join(tmpdir(), 'longshore-docker-mode-'))
  const [engine, image, storage, { provider, model, origin }] = await Promise.all([engineHost(), runnerImage(), openStorage(storageRoot), scriptedModel()])
  const backend = createDockerMode({ deployment, engine, image, storage, model, modelOnHost: origin, profiles: {
    shell: { driver: 'command', image, command: ['sh', '-s'], env: {} },
    acp: { driver: 'acp', image, command: ['opencode', 'acp'], env: {}, permission: 'allow', isOpencode: true },
  }, log: SILENT })
  const docker = connectEngine(engine)
  const containersOf = async (taskId: string): Promise<string[]> => (await docker.listContainers({ all: true, filters: { label: [`${LABEL.task}=${taskId}`] } })).map((one) => one.Id)
  return {
    backend,
    storageRoot,
    leftovers: containersOf,
    kill: async (taskId) => {
      for (const id of await containersOf(taskId)) await docker.getContainer(id).kill()
    },
    isRunning: async (marker) => (await commandLines(marker)).length > 0,
    close: async () => {
      await backend.close()
      await provider.stop()
      await rm(storageRoot, { recursive: true, force: true })
    },
  }
}

describeNeeding(['docker', 'opencode'], 'docker mode', () => {
  describeBackend('OpenCode in a container', { make: () => make('suite-opencode'), dialect: DIRECTIVES, profile: 'opencode', ownPlace: true, resumes: true, steers: true, asks: true })
  describeBackend('a plain command in a container', { make: () => make('suite-command'), dialect: SHELL, profile: 'shell', ownPlace: true, resumes: false })
  describeBackend('OpenCode over the Agent Client Protocol in a container', { make: () => make('suite-acp'), dialect: { ...DIRECTIVES, fail: { prompt: '[[status 400]]', code: 'agent_error' } }, profile: 'acp', ownPlace: true, resumes: true, asks: 'permissions' })
})

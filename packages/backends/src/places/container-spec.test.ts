import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage } from '@longshore/testkit'
import { expect, test } from 'vitest'
import { createDockerMode } from '../docker-mode.ts'
import { record } from '../fixtures/record.ts'
import { scriptedModel } from '../fixtures/scripted-model.ts'
import { openStorage, workspaceOf } from '../workspace/storage.ts'
import { containerName } from './container-spec.ts'
import { connectEngine } from './engine.ts'

/** None of them is a default. */
const LIMITS = { cpus: 0.75, memoryBytes: 1200 * 1024 ** 2, pids: 200, tmpBytes: 64 * 1024 ** 2, logBytes: 1_000_000 }

describeNeeding(['docker', 'opencode'], 'the container of a task, as the engine describes it', () => {
  test('L-36: has the model and its credentials, its limits, no right but to run, and nothing of the host but two folders', async () => {
    const root = await mkdtemp(join(tmpdir(), 'longshore-container-spec-'))
    const deployment = `spec-${randomBytes(6).toString('hex')}`
    const [engine, image, storage, { provider, model, origin }] = await Promise.all([engineHost(), runnerImage(), openStorage(root), scriptedModel()])
    const backend = createDockerMode({ deployment, engine, image, storage, model: { ...model, env: { PROVIDER_KEY: 'key-of-the-provider' } }, modelOnHost: origin, limits: LIMITS, log: SILENT })
    const { task, run, handles } = record('[[hang]]')
    try {
      await backend.start(task, run)
      const { Config, HostConfig, NetworkSettings } = await connectEngine(engine).getContainer(containerName(deployment, task.id, 1)).inspect()
      expect(Config.Env).toContain('PROVIDER_KEY=key-of-the-provider')
      expect(JSON.parse(Config.Env.find((pair) => pair.startsWith('OPENCODE_CONFIG_CONTENT='))?.split('=').slice(1).join('=') ?? '')).toMatchObject({ model: model.config['model'] })
      expect(Config.User).toBe('1000:1000')
      expect(HostConfig).toMatchObject({
        NanoCpus: LIMITS.cpus * 1e9, Memory: LIMITS.memoryBytes, MemorySwap: LIMITS.memoryBytes, PidsLimit: LIMITS.pids, Tmpfs: { '/tmp': expect.stringContaining(`size=${LIMITS.tmpBytes}`) },
        LogConfig: { Type: 'json-file', Config: { 'max-size': String(LIMITS.logBytes / 2), 'max-file': '2' } },
        CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'], Privileged: false, ReadonlyRootfs: true, PidMode: '',
      })
      expect([HostConfig.CapAdd ?? [], HostConfig.Devices ?? [], HostConfig.PortBindings ?? {}]).toEqual([[], [], {}])
      const { repo, state } = workspaceOf(storage, task.id)
      expect(HostConfig.Binds).toEqual([`${repo}:${repo}`, `${state}:${state}`])
      expect(Object.keys(NetworkSettings.Networks)).toEqual([`longshore-${deployment}`])
    } finally {
      for (const handle of handles.slice(-1)) await backend.dispose(handle, run)
      await backend.close()
      await provider.stop()
      await rm(root, { recursive: true, force: true })
    }
  })
})

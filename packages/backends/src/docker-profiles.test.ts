import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage } from '@longshore/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDockerMode } from './docker-mode.ts'
import { record, textOf } from './fixtures/record.ts'
import { containerName } from './places/container-spec.ts'
import { connectEngine } from './places/engine.ts'
import { openStorage } from './workspace/storage.ts'

const DEPLOYMENT = `profiles-${randomBytes(6).toString('hex')}`

describeNeeding(['docker'], 'profiles of docker mode', () => {
  let root: string
  let engine: string
  let backend: Backend
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-profiles-'))
    const image = await runnerImage()
    engine = await engineHost()
    backend = createDockerMode({
      deployment: DEPLOYMENT, engine, storage: await openStorage(root), image, model: { config: {}, env: {} }, log: SILENT,
      profiles: { plain: { driver: 'command', image: 'longshore/no-such-image:none', limits: { cpus: 0.5 }, command: ['sh', '-s'], env: {}, set: { OWN: 'of-the-profile' } }, acp: { driver: 'acp', image, command: ['true'], env: {}, permission: 'allow', isOpencode: false } },
      offers: { models: [], images: [image], envNames: ['NPM_TOKEN', 'OTHER_TOKEN'], env: { NPM_TOKEN: 'the-value-of-the-operator', OTHER_TOKEN: 'nobody-asked-for-it' }, maxCpus: 2, maxMemoryMb: 1_024 },
    })
  }, 180_000)
  afterAll(async () => {
    await backend.close()
    await rm(root, { recursive: true, force: true })
  })

  test('a command gets the image, limits and variables that its task chose, and no value of them reaches the log', async () => {
    const image = await runnerImage()
    const one = record('echo "$OWN ${#NPM_TOKEN} $NPM_TOKEN [$OTHER_TOKEN]"; cat > /dev/null', { profile: 'plain', image, memory_mb: 256, env: ['NPM_TOKEN'] })
    const execution = await backend.start(one.task, one.run)
    const { Config, HostConfig } = await connectEngine(engine).getContainer(containerName(DEPLOYMENT, one.task.id, 1)).inspect()
    expect(await execution.outcome).toMatchObject({ kind: 'completed' })
    expect(textOf(one.events).trim()).toBe('of-the-profile 25 [redacted] []')
    expect([Config.Image, HostConfig.Memory, HostConfig.NanoCpus]).toEqual([image, 256 * 1024 ** 2, 5e8])
    expect(JSON.stringify([Config.Labels, one.handles, one.events, one.positions])).not.toContain('the-value-of-the-operator')
    await backend.dispose(execution.handle, one.run)
  })

  test('what this worker does not allow is refused before anything is started', async () => {
    for (const [choices, said] of [
      [{ image: 'evil:latest' }, 'image: the task asks for "evil:latest"'],
      [{ env: ['PATH'] }, 'env: the task asks for "PATH"'],
      [{ memory_mb: 4_096 }, 'memory_mb: the task asks for 4096'],
      [{ model: 'a/b' }, 'TASK_MODELS allows: none here'],
    ] as const) {
      const { env, ...rest } = { env: undefined, ...choices }
      const one = record('true', { profile: 'plain', ...rest, ...(env === undefined ? {} : { env: [...env] }) })
      await expect(backend.start(one.task, one.run)).rejects.toThrow(said)
      expect(one.handles).toEqual([])
    }
    for (const profile of ['opencode', 'acp', 'plain']) {
      const one = record('true', { profile, network: 'provider' })
      await expect(backend.start(one.task, one.run)).rejects.toThrow('the task asks for the network "provider", and nothing here keeps it to that')
      expect(one.handles).toEqual([])
    }
    const other = record('true', { profile: 'elsewhere' })
    await expect(backend.start(other.task, other.run)).rejects.toThrow('profile: the task asks for "elsewhere"; this worker has opencode, plain, acp')
  })
})

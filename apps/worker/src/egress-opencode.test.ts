import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDockerMode, createOpencodeMode, openStorage, workspaceOf } from '@longshore/backends'
import { openSharedDirectory } from '@longshore/blobs'
import { SILENT } from '@longshore/contracts'
import { connectRedis, createMetrics, loadSettings, readProfiles } from '@longshore/runtime'
import { describeNeeding, engineHost, runnerImage, scriptedProviderConfig, sharedRedisUrl, startScriptedProvider } from '@longshore/testkit'
import { expect, test } from 'vitest'
import { type BuildBackendsOptions, dockerOptions, opencodeOptions } from './build-backends.ts'
import { buildEgress } from './build-egress.ts'
import { loneRun } from './testing/lone-run.ts'

const KEY = 'sk-the-deployments-own-key'

describeNeeding(['docker', 'opencode'], 'OpenCode, with the settings as they come', () => {
  test.each([
    ['a supervised process', (options: BuildBackendsOptions) => createOpencodeMode(opencodeOptions(options))],
    ['a container', async (options: BuildBackendsOptions) => createDockerMode({ ...dockerOptions(options), engine: await engineHost() })],
    ['a container, over the Agent Client Protocol', async (options: BuildBackendsOptions) => createDockerMode({ ...dockerOptions(options), engine: await engineHost() }), 'opencode-acp'],
  ] as const)('in %s reaches its model by a token, and finds the deployment\'s key nowhere', async (_place, make, profile: string = 'opencode') => {
    const root = await mkdtemp(join(tmpdir(), 'longshore-egress-'))
    const provider = await startScriptedProvider({ log: SILENT, token: KEY })
    const deployment = `egress-${randomBytes(6).toString('hex')}`
    const env = { LONGSHORE_DEPLOYMENT: deployment, OPENCODE_CONFIG: JSON.stringify(scriptedProviderConfig(provider.url, KEY)), OTHER_NAME: KEY, RUNNER_ENV: 'OTHER_NAME', RUNNER_IMAGE: await runnerImage() }
    const settings = loadSettings(env)
    const profiles = await readProfiles(settings)
    const redis = connectRedis(sharedRedisUrl(), 'background', SILENT)
    const egress = buildEgress({ settings, profiles, env, redis, redisUrl: sharedRedisUrl(), deployment, version: '1', since: 1, registry: createMetrics('worker'), log: SILENT })
    const storage = await openStorage(root)
    const backend = await make({ settings, profiles, env: { ...env, PATH: process.env['PATH'] }, uid: process.getuid?.(), gid: process.getgid?.(), storage, blobs: openSharedDirectory(join(root, 'blobs')), egress, log: SILENT })
    const one = loneRun('[[write look.sh|env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline]] [[bash sh look.sh > found.txt 2>/dev/null; true]] [[say it is done]]', { profile })
    try {
      const { outcome } = await backend.start(one.task, one.run)
      const end = await outcome
      expect([end.kind, end]).toMatchObject(['completed', {}])
      const workspace = workspaceOf(storage, one.task.id)
      const files = await Promise.all((await readdir(workspace.directory, { recursive: true, withFileTypes: true })).filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'latin1')))
      expect(files.join('\n')).toContain('OTHER_NAME=lse-task-') // it did look
      expect(files.join('\n')).not.toContain(KEY)
      expect(JSON.stringify(one.events)).toContain('it is done')
      expect(JSON.stringify(one.events)).not.toMatch(/sk-the|lse-task-/)
      expect(one.said()).not.toContain('was refused') // it asks for nothing but its model
      const [name] = await redis.keys(`{ls:${deployment}}:egress:grant:*`)
      expect(name).toContain(one.task.id)
      one.letGo()
      await backend.dispose(one.handle(), one.run)
      expect(await redis.keys(`{ls:${deployment}}:egress:grant:*`)).toEqual([])
    } finally {
      one.letGo()
      await backend.dispose(one.handle(), one.run)
      await backend.close()
      await egress?.close()
      await provider.stop()
      redis.disconnect()
      await rm(root, { recursive: true, force: true })
    }
  }, 600_000)
})

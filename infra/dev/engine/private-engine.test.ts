import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { processesOf } from '../processes.ts'
import { succeeds } from '../run-command.ts'
import { enginePlace, type EnginePlace } from './dockerd-settings.ts'
import { pingEngine } from './engine-address.ts'
import { joinEngineUsers, keepEngine, unkeepEngine } from './engine-users.ts'
import { startPrivateEngine, stopPrivateEngine } from './private-engine.ts'

const { env } = process
const canRun = process.getuid?.() === 0 && (await succeeds('dockerd', ['--version']))

describe.runIf(canRun)('a private engine', () => {
  let folder: string
  let place: EnginePlace

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'longshore-engine-'))
    place = enginePlace(folder)
  })
  afterAll(async () => {
    await stopPrivateEngine(folder, env)
    await rm(folder, { recursive: true, force: true })
  })

  const docker = async (...words: string[]): Promise<string> =>
    (await promisify(execFile)('docker', ['--host', `unix://${place.socket}`, ...words])).stdout.trim()
  const isUp = (): Promise<boolean> => pingEngine(`unix://${place.socket}`)

  test('is started once, also by two at the same time', async () => {
    const [one, other] = await Promise.all([startPrivateEngine(folder, env), startPrivateEngine(folder, env)])
    expect(one).toBe(other)
    expect(await docker('info', '--format', '{{.DockerRootDir}}')).toBe(place.data)
    expect(await processesOf(`--pidfile=${place.pidFile}`)).toHaveLength(1)
  })

  test('comes back after SIGKILL', async () => {
    process.kill(Number(await readFile(place.pidFile, 'utf8')), 'SIGKILL')
    await startPrivateEngine(folder, env)
    expect(await docker('ps', '--quiet')).toBe('')
  })

  test('stays while somebody uses it, and goes with the last one', async () => {
    const leaveFirst = await joinEngineUsers(folder, env)
    const leaveLast = await joinEngineUsers(folder, env)
    await leaveFirst()
    expect(await isUp()).toBe(true)
    await leaveLast()
    expect(await isUp()).toBe(false)
  })

  test('stays after the last one when it is kept', async () => {
    await startPrivateEngine(folder, env)
    await keepEngine(folder)
    await (await joinEngineUsers(folder, env))()
    expect(await isUp()).toBe(true)
    await unkeepEngine(folder)
  })

  test('leaves nothing when it stops, also after SIGKILL', async () => {
    process.kill(Number(await readFile(place.pidFile, 'utf8')), 'SIGKILL')
    await stopPrivateEngine(folder, env)
    expect(await processesOf(place.run)).toEqual([])
    expect(await readFile('/proc/mounts', 'utf8')).not.toContain(folder)
    expect(await readFile('/proc/net/dev', 'utf8')).not.toContain(place.bridge)
  })
})

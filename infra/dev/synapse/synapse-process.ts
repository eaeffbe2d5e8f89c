import { spawn } from 'node:child_process'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endProcess, isAlive } from '../processes.ts'
import { newSynapseSecrets, synapseConfig, synapseLogConfig, type SynapseSecrets, type SynapseSettings } from './synapse-config.ts'
import type { SynapseProgram } from './synapse-packages.ts'

export interface SynapseProcess {
  readonly baseUrl: string
  readonly pid: number
  /** The admin API registers users with it. */
  readonly registrationSecret: string
  stop(): Promise<void>
}

/** The first start makes the database and compiles Python: about 15 s. */
const START_MS = 90_000
const STOP_MS = 15_000

/** Starts a Synapse on 127.0.0.1 with its data in `dir`, and waits until it answers. */
export async function startSynapseProcess(program: SynapseProgram, settings: SynapseSettings): Promise<SynapseProcess> {
  const { dir, port } = settings
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const secrets = await keptSecrets(dir)
  const config = join(dir, 'homeserver.yaml')
  // Every JSON is YAML.
  await writeFile(config, JSON.stringify(synapseConfig(settings, secrets), null, 2), { mode: 0o600 })
  await writeFile(join(dir, 'log.yaml'), JSON.stringify(synapseLogConfig(dir)))
  await writeFile(join(dir, 'signing.key'), secrets.signingKey, { mode: 0o600 })
  const pid = await launch(program, dir, config)
  const baseUrl = `http://127.0.0.1:${port}`
  const stop = (): Promise<void> => endProcess(pid, STOP_MS)
  if (!(await isUp(pid, baseUrl))) {
    await stop()
    throw new Error(`Synapse does not start:\n${(await readFile(join(dir, 'stdout.log'), 'utf8')).split('\n').slice(-20).join('\n')}`)
  }
  return { baseUrl, pid, registrationSecret: secrets.registration, stop }
}

async function launch(program: SynapseProgram, dir: string, config: string): Promise<number> {
  const log = await open(join(dir, 'stdout.log'), 'w')
  const child = spawn(program.path, [...program.words, '-m', 'synapse.app.homeserver', '-c', config], {
    cwd: dir,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env: { ...program.env, HOME: dir },
  })
  await log.close()
  child.on('error', () => undefined)
  child.unref()
  if (child.pid === undefined) throw new Error(`${program.path} does not start`)
  return child.pid
}

async function isUp(pid: number, baseUrl: string): Promise<boolean> {
  const deadline = performance.now() + START_MS
  while ((await isAlive(pid)) && performance.now() < deadline) {
    // A rival on the port would answer too: ours then ends with "address in use".
    const isHealthy = await fetch(`${baseUrl}/health`, { signal: AbortSignal.timeout(2_000) }).then((response) => response.ok, () => false)
    if (isHealthy && (await isAlive(pid))) return true
    await sleep(100)
  }
  return false
}

async function keptSecrets(dir: string): Promise<SynapseSecrets> {
  const file = join(dir, 'secrets.json')
  const kept = await readFile(file, 'utf8').catch(() => undefined)
  if (kept !== undefined) return JSON.parse(kept) as SynapseSecrets
  const made = newSynapseSecrets()
  await writeFile(file, JSON.stringify(made), { mode: 0o600 })
  return made
}

import { spawn } from 'node:child_process'
import { mkdir, open, readFile, rm, symlink } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLock } from '../lock.ts'
import { endProcess, isProcessOf, processesOf } from '../processes.ts'
import { runCommand, succeeds } from '../run-command.ts'
import { dockerdArguments, type DockerdVariant, type EnginePlace, enginePlace, FIRST_VARIANT, nextVariant } from './dockerd-settings.ts'
import { pingEngine } from './engine-address.ts'

const START_MS = 90_000
/** dockerd gives its containers 5 s. */
const STOP_MS = 20_000

/**
 * Starts a Docker Engine of our own, or finds it running: its own socket, images, bridge and subnet.
 * Needs root and dockerd on PATH.
 * @param folder holds its images; two folders are two engines
 * @returns its address, in the form of DOCKER_HOST
 */
export async function startPrivateEngine(folder: string, env: NodeJS.ProcessEnv): Promise<string> {
  const place = enginePlace(folder)
  const dockerHost = `unix://${place.socket}`
  await mkdir(folder, { recursive: true })
  await withLock(join(folder, 'lock'), async () => {
    if (await pingEngine(dockerHost)) return
    await mkdir(place.run, { recursive: true, mode: 0o700 })
    await startInSomeVariant(place, env)
  })
  return dockerHost
}

/** Stops the engine of this folder and removes what it left in the system; images stay. */
export async function stopPrivateEngine(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  const place = enginePlace(folder)
  await mkdir(folder, { recursive: true })
  await withLock(join(folder, 'lock'), async () => {
    // A dockerd that was killed leaves containerd and containers running: only a dockerd can end those.
    if (!(await isRunning(place)) && (await processesOf(place.run)).length > 0) await startInSomeVariant(place, env)
    await succeeds('docker', ['--host', `unix://${place.socket}`, 'network', 'prune', '--force'], { env })
    await endDaemon(place)
    // Left by a dockerd that was killed; the folder could not be removed.
    await succeeds('umount', [place.data])
    for (const mount of await mountsBelow(place.run)) await succeeds('umount', [mount])
    await succeeds('ip', ['link', 'delete', place.bridge])
    await rm(place.run, { recursive: true, force: true })
  })
}

/** Innermost first: network namespaces of containers, which dockerd leaves mounted. */
async function mountsBelow(folder: string): Promise<string[]> {
  const lines = (await readFile('/proc/self/mounts', 'utf8')).split('\n')
  return lines.map((line) => line.split(' ')[1] ?? '').filter((path) => path.startsWith(`${folder}/`)).toReversed()
}

async function startInSomeVariant(place: EnginePlace, env: NodeJS.ProcessEnv, variant = FIRST_VARIANT): Promise<void> {
  if (await start(place, variant, env)) return
  const log = await readFile(place.log, 'utf8')
  const next = nextVariant(variant, log)
  if (next === undefined) throw new Error(`dockerd does not start; the end of ${place.log}:\n${log.split('\n').slice(-5).join('\n')}`)
  await startInSomeVariant(place, env, next)
}

async function start(place: EnginePlace, variant: DockerdVariant, env: NodeJS.ProcessEnv): Promise<boolean> {
  await clearAfterKill(place)
  const log = await open(place.log, 'w')
  const child = spawn('dockerd', dockerdArguments(place, variant, await makeBridge(place)), {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env: variant.firewall === 'iptables-legacy' ? await preferLegacy(place, env) : env,
  })
  await log.close()
  child.on('error', () => undefined)
  const deadline = performance.now() + START_MS
  while (child.exitCode === null && child.pid !== undefined && performance.now() < deadline) {
    if (await pingEngine(`unix://${place.socket}`)) {
      child.unref()
      return true
    }
    await sleep(100)
  }
  await endDaemon(place)
  return false
}

/** A bridge of our own, or docker0 where `ip` is missing: two engines on one docker0 would hand out the same addresses. */
async function makeBridge({ bridge, subnet }: EnginePlace): Promise<boolean> {
  if (await succeeds('ip', ['link', 'show', bridge])) return true
  if (!(await succeeds('ip', ['link', 'add', bridge, 'type', 'bridge']))) return false
  await runCommand('ip', ['address', 'add', `10.${subnet}.0.1/24`, 'dev', bridge])
  await runCommand('ip', ['link', 'set', bridge, 'up'])
  return true
}

/** dockerd calls whatever is named `iptables` on its PATH. */
async function preferLegacy({ run }: EnginePlace, env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const folder = join(run, 'bin')
  await mkdir(folder, { recursive: true })
  await symlink('/usr/sbin/iptables-legacy', join(folder, 'iptables')).catch(() => undefined)
  return { ...env, PATH: `${folder}${delimiter}${env['PATH'] ?? ''}` }
}

/** dockerd refuses to start over the pid file of one that was killed, and would wait for that one's containerd, dead or a zombie. */
async function clearAfterKill({ pidFile, run }: EnginePlace): Promise<void> {
  await rm(pidFile, { force: true })
  for (const pid of await processesOf(join(run, 'exec/containerd/containerd.toml'))) await endProcess(pid, 5_000)
  await rm(join(run, 'exec/containerd/containerd.pid'), { force: true })
}

async function isRunning(place: EnginePlace): Promise<boolean> {
  return (await daemonPid(place)) !== undefined
}

async function daemonPid({ pidFile }: EnginePlace): Promise<number | undefined> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'))
  return pid > 0 && (await isProcessOf(pid, pidFile)) ? pid : undefined
}

async function endDaemon(place: EnginePlace): Promise<void> {
  const pid = await daemonPid(place)
  if (pid !== undefined) await endProcess(pid, STOP_MS)
}

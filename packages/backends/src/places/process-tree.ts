import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** The variable that marks every process of an execution; children inherit it, whatever group or session they move to. */
export const MARKER = 'LONGSHORE_EXECUTION'

const GONE_TIMEOUT_MS = 5_000
const POLL_MS = 20

/** One process at one time: ids are used again, start times are not. */
export interface ProcessName { pid: number; startTicks: string }

/** The start time of a process in ticks since boot; undefined when it is gone or only waits to be reaped. */
export async function startTicksOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from field 3, state; the name before may hold anything
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

export async function isAlive({ pid, startTicks }: ProcessName): Promise<boolean> {
  return (await startTicksOf(pid)) === startTicks
}

/** Which pid namespace of which boot this process lives in: a pid means nothing elsewhere. */
export async function hostId(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
  return `${boot.trim()}/${await readlink('/proc/self/ns/pid')}`
}

/** A process that carries a marker. */
interface Marked extends ProcessName { marker: string }

/** The processes whose marker begins with `prefix`, without those that only wait to be reaped. */
export async function markedProcesses(prefix: string): Promise<Marked[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(pids.map(async (pid) => {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    const marker = environment.split('\0').find((variable) => variable.startsWith(`${MARKER}=${prefix}`))?.slice(MARKER.length + 1)
    const startTicks = marker === undefined ? undefined : await startTicksOf(pid)
    return marker === undefined || startTicks === undefined ? undefined : { marker, pid, startTicks }
  }))
  return found.filter((one) => one !== undefined)
}

/** Unix ms of the moment that start ticks are counted from; whole seconds, cut off. */
export async function bootedAt(): Promise<number> {
  const [, seconds] = /^btime (\d+)$/m.exec(await readFile('/proc/stat', 'utf8')) ?? []
  return Number(seconds) * 1000
}

/** Linux shows all times in hundredths of a second, whatever its clock really does. */
export const TICK_MS = 10

/**
 * Kills a process group's leader and group, then whatever carries the marker, until nothing does.
 * @throws when something is still alive after 5 s
 */
export async function killExecution(marker: string, leader: ProcessName | undefined): Promise<void> {
  if (leader !== undefined && (await isAlive(leader))) kill(-leader.pid)
  const end = performance.now() + GONE_TIMEOUT_MS
  for (;;) {
    const pids = (await markedProcesses(marker)).filter((one) => one.marker === marker).map(({ pid }) => pid)
    if (pids.length === 0 && (leader === undefined || !(await isAlive(leader)))) return
    if (performance.now() > end) throw new Error(`processes ${pids.join(', ')} of ${marker} survive SIGKILL`)
    for (const pid of pids) kill(pid)
    await delay(POLL_MS)
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

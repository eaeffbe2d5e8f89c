import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** The processes whose command line holds a text that only ours have, such as the path of their own folder. */
export async function processesOf(text: string): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number)
  const found: number[] = []
  for (const pid of pids) if (pid !== process.pid && (await commandLine(pid)).includes(text)) found.push(pid)
  return found
}

/** Whether this process runs, and is the one whose command line holds the text: a pid in a file may be another's by now. */
export async function isProcessOf(pid: number, text: string): Promise<boolean> {
  return (await commandLine(pid)).includes(text)
}

/** SIGTERM, then SIGKILL when it does not leave in time; a process that is gone is fine. */
export async function endProcess(pid: number, graceMs: number): Promise<void> {
  signal(pid, 'SIGTERM')
  const deadline = performance.now() + graceMs
  while (await isAlive(pid)) {
    if (performance.now() > deadline) signal(pid, 'SIGKILL')
    await sleep(50)
  }
}

/** A zombie, which its parent has not fetched yet, is not alive. */
export async function isAlive(pid: number): Promise<boolean> {
  if (!signal(pid, 0)) return false
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return !/\) [ZX] /.test(stat)
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

/** Empty for a process that is gone, and for a zombie. */
async function commandLine(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return text.replaceAll('\0', ' ')
}

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { appendFile, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { type Backend, type BackendCapabilities, type Execution, type ExecutionOutcome, type Found, type Handle, type Mode, type RunContext, type Task, TaskFailure, TaskId } from '@longshore/contracts'

import { withAsks } from './shell-asks.ts'

/** The prompt that makes `start` hang for ever, also when it is told to stop. */
export const HANGING_START = '[start hangs]'
/** The exit code that stands for a busy model provider: worth another try. */
export const BUSY_EXIT = 75

export interface ShellBackendOptions {
  probe?: Backend['probe']
  capabilities?: Partial<BackendCapabilities>
  /** Default: none that it names. */
  profiles?: Backend['profiles']
  /** Named in its handles. */
  engineId?: string
  storageId?: string
  /** Called before a message is taken in; what it throws the worker hears. */
  onTell?: (id: string) => void
}

/**
 * A real, small backend for tests: the prompt is a shell script that runs as a detached process group, so that it outlives
 * its worker and can be adopted; its output is a file whose byte offset is the position. Its session is the file `script`:
 * resumed, that runs again in its directory with the note in the file `notes`; what it wrote there is what it goes on from.
 * With the capability `steer` messages are lines of the file `mail`, once each; with `ask` it can ask (shell-asks.ts).
 */
export function createShellBackend(mode: Mode, root: string, options: ShellBackendOptions = {}): Backend {
  const { engineId, storageId } = options
  const place = { ...(engineId === undefined ? {} : { engine_id: engineId }), ...(storageId === undefined ? {} : { storage_id: storageId }) }
  const handleOf = (name: string): Handle => ({ v: 1, mode, ...place, data: { dir: join(root, name) } })
  const steered = (execution: Execution, run: RunContext): Execution => {
    const asked = options.capabilities?.ask === true ? withAsks(execution, run) : execution
    return options.capabilities?.steer === true ? { ...asked, tell: tellIn(asked, options.onTell) } : asked
  }
  return {
    mode,
    capabilities: { isolation: 'process', adopt: true, resume: true, steer: false, ask: false, pause: false, usage: false, files: false, ...options.capabilities },
    ...(options.profiles === undefined ? {} : { profiles: options.profiles }),
    probe: options.probe ?? (() => Promise.resolve({ ok: true })),
    engineId: () => Promise.resolve(engineId),
    start: async (task, run) => {
      if (task.prompt === HANGING_START) return new Promise<never>(() => undefined)
      const handle = handleOf(`${task.id}-${run.claim}`)
      await run.onHandle(handle)
      await mkdir(dirOf(handle), { recursive: true })
      await writeFile(join(dirOf(handle), 'script'), task.prompt)
      await launch(dirOf(handle))
      return steered(await follow(handle, run, 0), run)
    },
    attach: async (task, handle, run) => {
      const isAlive = await pidOf(handle).then(isRunning, () => false)
      return isAlive || (await exitOf(handle)) !== undefined ? steered(await follow(handle, run, offsetOf(task)), run) : undefined
    },
    resume: async (task, handle, run, note) => {
      await end(handle, run)
      if (!(await exists(join(dirOf(handle), 'script')))) return undefined
      const goingOn: Handle = { ...handle, ...place }
      await run.onHandle(goingOn)
      await appendFile(join(dirOf(handle), 'notes'), `${note}\n`)
      await launch(dirOf(handle))
      return steered(await follow(goingOn, run, offsetOf(task)), run)
    },
    checkpoint: (handle, run) => end(handle, run),
    list: () => list(root, handleOf),
    dispose: async (handle, run) => {
      await end(handle, run)
      await run.confirmClaim()
      await rm(join(dirOf(handle), 'script'), { force: true })
    },
    close: () => Promise.resolve(),
  }
}

function tellIn({ handle, outcome }: Execution, onTell: ((id: string) => void) | undefined): NonNullable<Execution['tell']> {
  let isOver = false
  outcome.then(() => (isOver = true), () => (isOver = true))
  return async ({ id, text }) => {
    onTell?.(id)
    if (isOver) return 'over'
    const known = await readFile(join(dirOf(handle), 'mail-ids'), 'utf8').catch(() => '')
    if (known.includes(id)) return 'delivered'
    await appendFile(join(dirOf(handle), 'mail-ids'), `${id}\n`)
    await appendFile(join(dirOf(handle), 'mail'), `${text.replaceAll('\n', ' ')}\n`)
    return 'delivered'
  }
}

async function end(handle: Handle, run: Pick<RunContext, 'confirmClaim'>): Promise<void> {
  const pid = await pidOf(handle).catch(() => undefined)
  if (pid === undefined) return
  await run.confirmClaim()
  signalGroup(pid)
  while (isRunning(pid)) await sleep(5)
}

/** What is there of any task: its script, and perhaps its processes. */
async function list(root: string, handleOf: (name: string) => Handle): Promise<Found[]> {
  const found = await Promise.all((await readdir(root)).map(async (name) => {
    const taskId = TaskId.safeParse(name.replace(/-\d+$/, '')).data
    const script = await stat(join(root, name, 'script')).catch(() => undefined)
    return taskId === undefined || script === undefined ? [] : [{ taskId, createdAt: script.birthtimeMs, handle: handleOf(name) }]
  }))
  return found.flat()
}

function dirOf({ data }: Handle): string {
  return String(data['dir'])
}

function offsetOf(task: Task): number {
  return Number(task.position ?? 0)
}

async function launch(dir: string): Promise<void> {
  for (const name of ['pid', 'code', 'asks']) await rm(join(dir, name), { force: true })
  const wrapper = 'echo $$ > pid.new; mv pid.new pid; sh script >> out 2>&1; echo $? > code.new; mv code.new code'
  spawn('sh', ['-c', wrapper], { cwd: dir, detached: true, stdio: 'ignore' }).unref()
  while ((await readFile(join(dir, 'pid'), 'utf8').catch(() => '')) === '') await sleep(2)
}

async function follow(handle: Handle, run: RunContext, from: number): Promise<Execution> {
  let text = (await readFrom(join(dirOf(handle), 'out'), 0)).slice(0, from)
  let offset = from
  const result = () => ({ output: text.slice(-4_000), output_truncated: text.length > 4_000, files_changed: 0 })
  const mirror = async (): Promise<ExecutionOutcome> => {
    for (;;) {
      run.signal.throwIfAborted()
      // In this order: what is said before the end is read after it, and a code that comes between the two looks is seen.
      const isAlive = await pidOf(handle).then(isRunning, () => false)
      const code = await exitOf(handle)
      const more = await readFrom(join(dirOf(handle), 'out'), offset)
      offset += Buffer.byteLength(more)
      text += more
      if (more !== '') await run.emit([{ type: 'task.output', payload: { text: more, stream: 'stdout' } }], String(offset))
      if (code === 0) return { kind: 'completed', result: result() }
      if (code !== undefined) return { kind: 'failed', failure: new TaskFailure(code === BUSY_EXIT ? 'provider_busy' : 'agent_error', `exit code ${code}`).toFailure(), result: result() }
      if (!isAlive) return { kind: 'failed', failure: new TaskFailure('backend_lost', 'the shell is gone').toFailure() }
      await sleep(10)
    }
  }
  const outcome = mirror()
  outcome.catch(() => undefined) // whoever awaits it hears of it
  return { handle, outcome, result: () => Promise.resolve(result()) }
}

async function readFrom(path: string, offset: number): Promise<string> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return ''
  try {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(Math.max(0, size - offset)), position: offset })
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false)
}

async function pidOf(handle: Handle): Promise<number> {
  return Number(await readFile(join(dirOf(handle), 'pid'), 'utf8'))
}

async function exitOf(handle: Handle): Promise<number | undefined> {
  const code = await readFile(join(dirOf(handle), 'code'), 'utf8').catch(() => undefined)
  return code === undefined ? undefined : Number(code)
}

/** A process that ended and whose parent is suspended is still listed, as a zombie. */
function isRunning(pid: number): boolean {
  try {
    return !/^\S+ \(.*\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function signalGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // already gone
  }
}

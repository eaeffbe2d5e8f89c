import { spawn } from 'node:child_process'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { type Backend, type Execution, type ExecutionOutcome, type Handle, type Mode, type RunContext, type Task, TaskFailure } from '@longshore/contracts'

/** The prompt that makes `start` hang for ever, also when it is told to stop. */
export const HANGING_START = '[start hangs]'
/** The exit code that stands for a busy model provider: worth another try. */
export const BUSY_EXIT = 75

/**
 * A real, small backend for tests: the prompt is a shell script that runs as a detached process group, so that it outlives
 * its worker and can be adopted; its output is a file whose byte offset is the position.
 */
export function createShellBackend(mode: Mode, root: string, options: { probe?: Backend['probe'] } = {}): Backend {
  return {
    mode,
    capabilities: { isolation: 'process', adopt: true, resume: false, steer: false, pause: false, usage: false, files: false },
    probe: options.probe ?? (() => Promise.resolve({ ok: true })),
    start: async (task, run) => {
      if (task.prompt === HANGING_START) return new Promise<never>(() => undefined)
      const handle: Handle = { v: 1, mode, data: { dir: join(root, `${task.id}-${run.claim}`) } }
      await run.onHandle(handle)
      await launch(dirOf(handle), task.prompt)
      return follow(handle, run, 0)
    },
    attach: async (task, handle, run) => {
      const isAlive = await pidOf(handle).then(isRunning, () => false)
      return isAlive || (await exitOf(handle)) !== undefined ? follow(handle, run, offsetOf(task)) : undefined
    },
    engineId: () => Promise.resolve(undefined),
    resume: () => Promise.resolve(undefined),
    list: () => Promise.resolve([]),
    checkpoint: (handle, run) => end(handle, run),
    dispose: (handle, run) => end(handle, run),
    close: () => Promise.resolve(),
  }
}

async function end(handle: Handle, run: Pick<RunContext, 'confirmClaim'>): Promise<void> {
  const pid = await pidOf(handle).catch(() => undefined)
  if (pid === undefined) return
  await run.confirmClaim()
  signalGroup(pid)
  while (isRunning(pid)) await sleep(5)
}

function dirOf({ data }: Handle): string {
  return String(data['dir'])
}

function offsetOf(task: Task): number {
  return Number(task.position ?? 0)
}

async function launch(dir: string, script: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, 'script'), script)
  const wrapper = 'echo $$ > pid.new; mv pid.new pid; sh script > out 2>&1; echo $? > code.new; mv code.new code'
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
      const code = await exitOf(handle)
      const more = await readFrom(join(dirOf(handle), 'out'), offset)
      offset += Buffer.byteLength(more)
      text += more
      if (more !== '') await run.emit([{ type: 'task.output', payload: { text: more, stream: 'stdout' } }], String(offset))
      if (code === 0) return { kind: 'completed', result: result() }
      if (code !== undefined) return { kind: 'failed', failure: new TaskFailure(code === BUSY_EXIT ? 'provider_busy' : 'agent_error', `exit code ${code}`).toFailure(), result: result() }
      if (!(await pidOf(handle).then(isRunning)) && (await exitOf(handle)) === undefined) return { kind: 'failed', failure: new TaskFailure('backend_lost', 'the shell is gone').toFailure() }
      await sleep(10)
    }
  }
  return { handle, outcome: mirror(), result: () => Promise.resolve(result()) }
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

async function pidOf(handle: Handle): Promise<number> {
  return Number(await readFile(join(dirOf(handle), 'pid'), 'utf8'))
}

async function exitOf(handle: Handle): Promise<number | undefined> {
  const code = await readFile(join(dirOf(handle), 'code'), 'utf8').catch(() => undefined)
  return code === undefined ? undefined : Number(code)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
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

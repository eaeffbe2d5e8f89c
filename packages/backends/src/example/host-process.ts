import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunContext, TaskFailure, TaskId } from '@longshore/contracts'
import type { Confinement } from '../places/confinement.ts'
import { bootedAt, killExecution, MARKER, markedProcesses, type ProcessName, startTicksOf, TICK_MS } from '../places/process-tree.ts'
import { watchdogSeconds } from '../places/server-place.ts'
import type { Workspace } from '../workspace/storage.ts'

// The place of the example: a process of this host. It knows nothing of handles, positions and events.

/** What one execution keeps while it is not disposed of: out of the agent's reach, and gone with `endProcess`. */
export interface ExecutionFolder { path: string; prompt: string; log: string; exit: string }

export function folderOf(workspace: Workspace, marker: string): ExecutionFolder {
  const path = join(workspace.control, `execution-${marker.split('/').at(-1)}`)
  return { path, prompt: join(path, 'prompt'), log: join(path, 'log'), exit: join(path, 'exit') }
}

export interface ProcessSpec {
  marker: string
  command: readonly string[]
  prompt: string
  environment: Record<string, string>
  workspace: Workspace
  confinement: Confinement
}

/** Runs the command on the prompt and writes down how it ended: this worker may be gone by then. 3 and 4 are the confinement's own. */
const RUN = '"$@" <&6 5>&- 6<&-; echo "$?" >&5'

/** Starts it so that it outlives this worker: its successor adopts it (G7), `timeout` ends it when there is none (G9). */
export async function startProcess(spec: ProcessSpec, { deadlineAt, signal }: Pick<RunContext, 'deadlineAt' | 'signal'>): Promise<ProcessName> {
  const { workspace, confinement, marker } = spec
  const folder = folderOf(workspace, marker)
  await mkdir(folder.path, { mode: 0o700 })
  await writeFile(folder.prompt, spec.prompt, { mode: 0o600 })
  const command = await confinement.wrap(workspace, ['sh', '-c', RUN, 'sh', ...spec.command])
  const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND } = constants
  const [log, exit, prompt] = await Promise.all([open(folder.log, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0o600), open(folder.exit, 'wx', 0o600), open(folder.prompt)])
  try {
    signal.throwIfAborted()
    const child = spawn('timeout', ['--signal=KILL', String(watchdogSeconds(deadlineAt, Date.now())), ...command], {
      cwd: workspace.repo,
      detached: true, // a session and process group of its own
      stdio: ['ignore', log.fd, log.fd, 'ignore', 'ignore', exit.fd, prompt.fd],
      env: { ...spec.environment, [MARKER]: marker },
    })
    const failed = new Promise<never>((_resolve, reject) => {
      child.once('error', (error) => reject(new TaskFailure('backend_unavailable', `cannot start timeout: ${error.message}`, { cause: error })))
    })
    failed.catch(() => {})
    child.unref()
    if (child.pid === undefined) return await failed
    return { pid: child.pid, startTicks: (await startTicksOf(child.pid)) ?? '' } // '': over before anybody looked, and never alive again
  } finally {
    await Promise.all([log.close(), exit.close(), prompt.close()])
  }
}

/** Ends all of it, also what left its group, then removes what it kept; idempotent, also where nothing was started. @throws when something survives */
export async function endProcess(workspace: Workspace, marker: string, leader: ProcessName | undefined): Promise<void> {
  await killExecution(marker, leader)
  await rm(folderOf(workspace, marker).path, { recursive: true, force: true })
}

/** Each execution whose marker begins with `prefix` and then names a task; as old as its oldest process. */
export async function findProcesses(prefix: string): Promise<{ taskId: TaskId; marker: string; createdAt: number }[]> {
  const [processes, origin] = await Promise.all([markedProcesses(prefix), bootedAt()])
  const startedAt = new Map<string, number>()
  for (const { marker, startTicks } of processes) startedAt.set(marker, Math.min(origin + Number(startTicks) * TICK_MS, startedAt.get(marker) ?? Infinity))
  return [...startedAt].flatMap(([marker, createdAt]) => {
    const taskId = TaskId.safeParse(marker.slice(prefix.length).split('/')[0]).data
    return taskId === undefined ? [] : [{ taskId, marker, createdAt }]
  })
}

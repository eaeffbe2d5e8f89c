import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Backend, type BackendHealth, type DeploymentId, type Execution, type Handle, type Mode, type RunContext, type Task, TaskFailure, TaskId } from '@longshore/contracts'
import { z } from 'zod'
import { type Confinement, findConfinement } from '../places/confinement.ts'
import { hostId, type ProcessName } from '../places/process-tree.ts'
import { choicesWithin, NO_OFFERS } from '../task-choices.ts'
import { redactor } from '../text.ts'
import { createFileWatch } from '../workspace/file-watch.ts'
import { withGitResult } from '../workspace/git-result.ts'
import { baselineOf } from '../workspace/prepare.ts'
import { type Workspace, workspaceOf } from '../workspace/storage.ts'
import { prepareFor, type WorkspaceSource } from '../workspace/task-workspace.ts'
import { followFile, openLog, parsePosition } from './follow-file.ts'
import { endProcess, findProcesses, folderOf, startProcess } from './host-process.ts'

// The example of docs/guides/write-a-backend.md: a whole backend, as small as it can be. Linux, as all places here. No worker uses it.

export interface HostCommandOptions extends WorkspaceSource {
  mode: Mode
  deployment: DeploymentId
  /** Gets the prompt on stdin, never in its arguments. */
  command: readonly string[]
  /** Provider keys and the like. Secret. */
  env: Record<string, string>
  /** PATH of the command. */
  path: string
  /** Files and folders, besides the storage, that it must not see; absolute. */
  hidden: readonly string[]
}

/** The options, and what was found out about this host. */
interface Here extends HostCommandOptions { host: string; confinement: Confinement }

const Data = z.object({ task: TaskId, marker: z.string(), pid: z.int().optional(), start_ticks: z.string().optional() })

/** Runs a plain command as a process of this host, as confined as the kernel allows: its output, its exit code, the files it changed. */
export async function createHostCommandBackend(options: HostCommandOptions): Promise<Backend> {
  const [host, confinement] = await Promise.all([hostId(), findConfinement({ ...options, binary: '/bin/sh' })])
  const here: Here = { ...options, host, confinement }
  return {
    mode: options.mode,
    capabilities: { isolation: 'process', adopt: true, resume: false, steer: false, ask: false, pause: false, usage: false, files: true },
    probe: () => probe(here),
    engineId: () => Promise.resolve(host),
    start: (task, run) => start(here, task, run),
    attach: (task, handle, run) => attach(here, task, handle, run),
    resume: () => Promise.resolve(undefined),
    checkpoint: (handle, run) => end(here, handle, run), // the command keeps no session: its workspace is all that stays
    list: async () => (await findProcesses(prefixOf(here))).map(({ taskId, createdAt, marker }) => ({ taskId, createdAt, handle: handleOf(here, { task: taskId, marker }) })),
    dispose: (handle, run) => end(here, handle, run),
    close: () => Promise.resolve(),
  }
}

async function probe({ path }: Here): Promise<BackendHealth> {
  return promisify(execFile)('timeout', ['1', 'true'], { env: { PATH: path } }).then(
    () => ({ ok: true }),
    () => ({ ok: false, reason: 'timeout(1) cannot be run; install coreutils' }),
  )
}

/** What the marker of all its processes begins with. With the storage's id: two installations on one host may bear the same name. */
function prefixOf({ deployment, storage }: Here): string {
  return `${deployment}/${storage.id}/command/`
}

function handleOf({ mode, storage, host }: Here, data: Handle['data']): Handle {
  return { v: 1, mode, storage_id: storage.id, engine_id: host, data }
}

function leaderIn({ data }: Handle): ProcessName | undefined {
  const { pid, start_ticks: startTicks } = Data.parse(data)
  return pid === undefined || startTicks === undefined ? undefined : { pid, startTicks }
}

async function start(here: Here, task: Task, run: RunContext): Promise<Execution> {
  const workspace = workspaceOf(here.storage, task.id)
  const marker = `${prefixOf(here)}${task.id}/${run.claim}/${randomUUID()}`
  const handle = handleOf(here, { task: task.id, marker })
  await run.onHandle(handle) // before anything is there that only this handle names
  choicesWithin(task, NO_OFFERS, []) // what a task chose and this cannot give is refused, not left unheeded
  await prepareFor(here, task, run, here.confinement.owner)
  const { command, confinement } = here
  const { pid, startTicks } = await startProcess({ marker, command, prompt: task.prompt, environment: environmentOf(here, workspace), workspace, confinement }, run)
  const precise = handleOf(here, { ...handle.data, pid, start_ticks: startTicks })
  await run.onHandle(precise)
  const execution = await attach(here, task, precise, run)
  if (execution === undefined) throw new TaskFailure('backend_lost', 'somebody else has ended the command already')
  return execution
}

/** Nothing of the worker's own environment. */
function environmentOf({ env, path }: Here, { state }: Workspace): Record<string, string> {
  return { ...env, PATH: path, HOME: join(state, 'home'), TMPDIR: join(state, 'cache') }
}

/** Goes on with a command that runs, or that ended while nobody looked. */
async function attach(here: Here, task: Task, handle: Handle, run: RunContext): Promise<Execution | undefined> {
  expectHere(here, handle)
  const workspace = workspaceOf(here.storage, task.id)
  const leader = leaderIn(handle)
  if (leader === undefined) return undefined // its owner died in the middle of the start; `dispose` ends what may be there
  const { marker } = Data.parse(handle.data)
  const folder = folderOf(workspace, marker)
  const baseline = await baselineOf(workspace)
  if (baseline === undefined) throw new TaskFailure('storage_unavailable', `the workspace ${workspace.directory} has lost its baseline`)
  const log = await openLog(folder)
  if (log === undefined) return undefined
  const stored = parsePosition(task.position)
  const followed = followFile({
    log, folder, leader, baseline, run,
    files: createFileWatch(workspace, run.log),
    // A task keeps its position when it is started again, and bytes of another log mean nothing in this one.
    position: stored?.execution === marker ? stored : { execution: marker, bytes: 0, tree: stored?.tree ?? baseline },
    clean: redactor(Object.values(here.env)),
  })
  const outcome = followed.outcome.then((ended) => withGitResult(here, task, run, ended))
  outcome.catch(() => {}) // whoever awaits it hears of it
  return { handle, ...followed, outcome }
}

async function end(here: Here, handle: Handle, run: Pick<RunContext, 'confirmClaim'>): Promise<void> {
  expectHere(here, handle)
  const { task, marker } = Data.parse(handle.data)
  await run.confirmClaim()
  await endProcess(workspaceOf(here.storage, task), marker, leaderIn(handle))
}

/** Whoever cannot see the place must say neither that nothing is there nor that nothing is left. */
function expectHere({ host, storage }: Here, handle: Handle): void {
  if (handle.engine_id !== host || handle.storage_id !== storage.id) {
    throw new TaskFailure('backend_unavailable', 'the command runs on another host or storage; only a worker there can reach it')
  }
}

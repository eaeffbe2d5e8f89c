import { lchown, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Backend, type Egress, type Execution, type Handle, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { z } from 'zod'
import { followLog, parseLogPosition } from './drivers/command/follow-log.ts'
import { executionOf } from './places/container-spec.ts'
import type { Containers } from './places/containers.ts'
import type { GuardedModel, WayOut } from './model/guarded-model.ts'
import { watchdogSeconds } from './places/server-place.ts'
import type { TaskNetwork } from './places/task-network.ts'
import { mayKeep, tellingRefusals } from './places/way-out.ts'
import { redactor } from './text.ts'
import { createFileWatch } from './workspace/file-watch.ts'
import { baselineOf, prepareWorkspace } from './workspace/prepare.ts'
import { type Storage, type Workspace, workspaceOf } from './workspace/storage.ts'

/** Any command of any image that has `sh` and `timeout`. It gets the prompt on stdin and in the file `$LONGSHORE_PROMPT_FILE`, never in its arguments. */
export interface CommandProfile {
  image: string
  command: readonly string[]
  /** Provider keys and the like. Secret. Where there is an egress proxy, agents get its token for each key that it knows. */
  env: Record<string, string>
}

export interface CommandBackendOptions extends CommandProfile {
  containers: Containers
  storage: Storage
  egress?: Egress | undefined
  /** What agents get that are let out through it. */
  guarded?: GuardedModel | undefined
}

const Data = z.object({ container: z.string() })
const PROMPT_FILE = 'prompt.txt'

/** Runs a plain command in a container per task: its output, its exit code, the files it changed. */
export function createCommandBackend(options: CommandBackendOptions): Backend {
  const { containers, image } = options
  return {
    mode: 'docker',
    capabilities: { isolation: 'container', adopt: true, resume: false, steer: false, pause: false, usage: false, files: true },
    probe: () => containers.probe(image),
    engineId: () => containers.engineId(),
    resume: () => Promise.resolve(undefined),
    checkpoint: async (handle, run) => {
      await run.confirmClaim()
      await containers.remove(Data.parse(handle.data).container)
    },
    list: async () => {
      const engineId = await containers.engineId()
      return (await containers.list()).map(({ taskId, createdAt, name }) => ({ taskId, createdAt, handle: handleOf(options, engineId, { container: name, task: taskId }) }))
    },
    start: (task, run) => start(options, task, run),
    attach: async (task, handle, run) => {
      if (handle.storage_id !== options.storage.id) throw new TaskFailure('backend_unavailable', 'the workspace is on another storage than the one this worker has')
      const state = await containers.state(Data.parse(handle.data).container)
      if (state === undefined) return undefined
      // Its worker died before it could start it.
      if (state.isNew && !(await containers.startNew(state.id, run))) return undefined
      if (state.isRunning) await containers.network() // an adopter looks after its way out
      return execution(options, task, handle, run)
    },
    dispose: async (handle, run) => {
      await run.confirmClaim()
      await containers.remove(Data.parse(handle.data).container)
    },
    close: () => containers.close(),
  }
}

async function start(options: CommandBackendOptions, task: Task, run: RunContext): Promise<Execution> {
  const { containers, storage, image } = options
  mayKeep(options.egress, task)
  const workspace = workspaceOf(storage, task.id)
  const handle = handleOf(options, await containers.engineId(), { profile: task.profile, container: containers.nameOf(task.id, run.claim), task: task.id })
  await run.onHandle(handle)
  await prepareWorkspace(workspace, containers.user)
  const promptFile = await writePrompt(workspace, task.prompt, containers)
  const command = [
    'timeout', '-s', 'KILL', String(watchdogSeconds(run.deadlineAt, Date.now())),
    'sh', '-c', 'exec "$@" < "$LONGSHORE_PROMPT_FILE"', 'sh', ...options.command,
  ]
  const environment = (_on: TaskNetwork, out: WayOut | undefined): Record<string, string> => ({ ...(out === undefined ? options.env : options.guarded?.through(out).env), HOME: join(workspace.state, 'home'), LONGSHORE_PROMPT_FILE: promptFile, LONGSHORE_TASK: task.id })
  const id = await containers.start({ task, claim: run.claim, deadlineAt: run.deadlineAt, image, command, environment, workspace, run })
  const precise: Handle = { ...handle, data: { ...handle.data, container_id: id } }
  await run.onHandle(precise)
  return execution(options, task, precise, run)
}

function handleOf({ storage }: CommandBackendOptions, engineId: string, data: Handle['data']): Handle {
  return { v: 1, mode: 'docker', storage_id: storage.id, engine_id: engineId, data }
}

async function execution({ containers, storage, env, egress }: CommandBackendOptions, task: Task, handle: Handle, run: RunContext): Promise<Execution> {
  const workspace = workspaceOf(storage, task.id)
  const { container } = Data.parse(handle.data)
  const baseline = await baselineOf(workspace)
  if (baseline === undefined) throw new TaskFailure('storage_unavailable', `the workspace ${workspace.directory} has lost its baseline`)
  const stored = parseLogPosition(task.position)
  const followed = followLog({
    containers, container, baseline, run,
    files: createFileWatch(workspace, run.log),
    // The handle does not tell: a handed-over task keeps the position of the container before it.
    position: stored?.container === container ? stored : { container, bytes: 0, tree: stored?.tree ?? baseline },
    clean: redactor(Object.values(env)),
  })
  const outcome = tellingRefusals(egress, executionOf(container), run, followed.outcome)
  outcome.catch(() => {}) // whoever awaits it hears of it
  return { handle, ...followed, outcome }
}

/** In the agent's state folder, which the container sees. A later attempt writes it anew; a link that the agent left there is not followed. */
async function writePrompt(workspace: Workspace, prompt: string, { user }: Containers): Promise<string> {
  const path = join(workspace.state, PROMPT_FILE)
  await rm(path, { force: true, recursive: true })
  await writeFile(path, prompt, { flag: 'wx', mode: 0o600 })
  if (process.getuid?.() === 0) await lchown(path, user.uid, user.gid)
  return path
}

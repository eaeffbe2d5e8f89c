import { lchown, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Backend, type Choice, type Egress, type Execution, type Handle, NO_RULES, type PolicyRules, type RunContext, type Task, TaskFailure, withheldFrom } from '@longshore/contracts'
import { followLog, parseLogPosition } from './drivers/command/follow-log.ts'
import type { GuardedModel, WayOut } from './model/guarded-model.ts'
import { containerOf, handleIn, isThere, listHandles, removeContainer } from './places/container-handle.ts'
import { executionOf, type Limits } from './places/container-spec.ts'
import type { Containers } from './places/containers.ts'
import { watchdogSeconds } from './places/server-place.ts'
import type { TaskNetwork } from './places/task-network.ts'
import { mayKeep, tellingRefusals } from './places/way-out.ts'
import { choicesWithin, envOf, limitsOfTask, NO_OFFERS, type Offers } from './task-choices.ts'
import { redactor } from './text.ts'
import { createFileWatch } from './workspace/file-watch.ts'
import { withGitResult } from './workspace/git-result.ts'
import { baselineOf } from './workspace/prepare.ts'
import { type Workspace, workspaceOf } from './workspace/storage.ts'
import { prepareFor, type WorkspaceSource } from './workspace/task-workspace.ts'

/** Any command of any image that has `sh` and `timeout`. It gets the prompt on stdin and in the file `$LONGSHORE_PROMPT_FILE`, never in its arguments. */
export interface CommandProfile {
  image: string
  command: readonly string[]
  /** Provider keys and the like. Secret. Where there is an egress proxy, agents get its token for each key that it knows. */
  env: Record<string, string>
  /** Further variables, which are no secrets. */
  set?: Record<string, string>
}

export interface CommandBackendOptions extends CommandProfile, WorkspaceSource {
  containers: Containers
  /** Of its profile, within those of all containers. */
  limits?: Partial<Limits>
  /** What tasks may choose. Default: nothing. */
  offers?: Offers
  egress?: Egress | undefined
  /** What agents get that are let out through it. */
  guarded?: GuardedModel | undefined
  /** What agents may do without asking: a command asks nobody, so it does not run for those from whom something is withheld, unless it is `unasked`. */
  policy?: PolicyRules
  unasked?: boolean
}

/** A command chooses its model itself. */
export const COMMAND_CHOICES: readonly Choice[] = ['image', 'cpu', 'memory_mb', 'env']
const PROMPT_FILE = 'prompt.txt'

/** Runs a plain command in a container per task: its output, its exit code, the files it changed. */
export function createCommandBackend(options: CommandBackendOptions): Backend {
  const { containers, image } = options
  return {
    mode: 'docker',
    capabilities: { isolation: 'container', adopt: true, resume: false, steer: false, ask: false, pause: false, usage: false, files: true },
    probe: () => containers.probe(image),
    engineId: () => containers.engineId(),
    resume: () => Promise.resolve(undefined),
    checkpoint: (handle, run) => removeContainer(options, handle, run),
    list: () => listHandles(options),
    start: (task, run) => start(options, task, run),
    attach: async (task, handle, run) => ((await isThere(options, handle, run)) ? execution(options, task, handle, run) : undefined),
    dispose: (handle, run) => removeContainer(options, handle, run),
    close: () => containers.close(),
  }
}

/** @throws TaskFailure `not_allowed` */
function mayRunUnasked({ policy = NO_RULES, unasked = false }: CommandBackendOptions, task: Task): void {
  const withheld = unasked ? undefined : withheldFrom(policy, task.agent_id)
  if (withheld !== undefined) throw new TaskFailure('not_allowed', `profile: ${task.profile} runs a plain command, which asks nobody, and ${withheld.setting} withholds ${withheld.tool} from ${task.agent_id}; choose a profile that asks, or have the operator mark this one as unasked`)
}

async function start(options: CommandBackendOptions, task: Task, run: RunContext): Promise<Execution> {
  const { containers, storage, image, limits, offers = NO_OFFERS } = options
  const choices = choicesWithin(task, offers, COMMAND_CHOICES)
  mayRunUnasked(options, task)
  mayKeep(options.egress, task)
  const workspace = workspaceOf(storage, task.id)
  const handle = handleIn(options, await containers.engineId(), { profile: task.profile, container: containers.nameOf(task.id, run.claim), task: task.id })
  await run.onHandle(handle)
  await prepareFor(options, task, run, containers.user)
  const promptFile = await writePrompt(workspace, task.prompt, containers)
  const command = [
    'timeout', '-s', 'KILL', String(watchdogSeconds(run.deadlineAt, Date.now())),
    'sh', '-c', 'exec "$@" < "$LONGSHORE_PROMPT_FILE"', 'sh', ...options.command,
  ]
  const environment = (_on: TaskNetwork, out: WayOut | undefined): Record<string, string> => {
    const env = { ...options.env, ...options.set, ...envOf(choices, offers) }
    return { ...(out === undefined ? env : options.guarded?.through(out, { config: {}, env }).env), HOME: join(workspace.state, 'home'), LONGSHORE_PROMPT_FILE: promptFile, LONGSHORE_TASK: task.id }
  }
  const id = await containers.start({ task, claim: run.claim, deadlineAt: run.deadlineAt, image: choices.image ?? image, command, environment, workspace, run, limits: { ...limits, ...limitsOfTask(choices) } })
  const precise: Handle = { ...handle, data: { ...handle.data, container_id: id } }
  await run.onHandle(precise)
  return execution(options, task, precise, run)
}

async function execution(options: CommandBackendOptions, task: Task, handle: Handle, run: RunContext): Promise<Execution> {
  const { containers, storage, env, egress, offers = NO_OFFERS } = options
  const workspace = workspaceOf(storage, task.id)
  const container = containerOf(handle)
  const baseline = await baselineOf(workspace)
  if (baseline === undefined) throw new TaskFailure('storage_unavailable', `the workspace ${workspace.directory} has lost its baseline`)
  const stored = parseLogPosition(task.position)
  const clean = redactor([...Object.values(env), ...Object.values(offers.env)])
  const followed = followLog({
    containers, container, baseline, run,
    files: createFileWatch(workspace, run.log, clean),
    // The handle does not tell: a handed-over task keeps the position of the container before it.
    position: stored?.container === container ? stored : { container, bytes: 0, tree: stored?.tree ?? baseline },
    clean,
  })
  const outcome = tellingRefusals(egress, executionOf(container), run, followed.outcome.then((end) => withGitResult(options, task, run, end)))
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

import { type Backend, type Choices, type Egress, type Execution, type Handle, layersOf, NO_RULES, type PermissionPolicy, type PolicyRules, type RunContext, type Task, TaskFailure, TaskId } from '@longshore/contracts'
import { z } from 'zod'
import { cleanOutcome } from './clean-events.ts'
import type { Plan } from './drivers/acp/converse.ts'
import { type AcpRun, driveAcp } from './drivers/acp/drive.ts'
import { type AcpMirror, createAcpMirror, parseAcpPosition, positionFor } from './drivers/acp/mirror.ts'
import { createReader, readOnce } from './drivers/acp/read.ts'
import { relayed } from './drivers/acp/relay-script.ts'
import type { WayOut } from './model/guarded-model.ts'
import { containerOf, handleIn, isThere, listHandles, removeContainer } from './places/container-handle.ts'
import { containerPipe } from './places/container-pipe.ts'
import type { Containers } from './places/containers.ts'
import { executionOf, type Limits } from './places/container-spec.ts'
import { watchdogSeconds } from './places/server-place.ts'
import type { TaskNetwork } from './places/task-network.ts'
import { mayKeep, tellingRefusals } from './places/way-out.ts'
import { choicesWithin, EVERY_CHOICE, limitsOfTask, type Offers } from './task-choices.ts'
import { redactor } from './text.ts'
import { createFileWatch } from './workspace/file-watch.ts'
import { withGitResult } from './workspace/git-result.ts'
import { baselineOf } from './workspace/prepare.ts'
import { type Workspace, workspaceOf } from './workspace/storage.ts'
import { prepareFor, type WorkspaceSource } from './workspace/task-workspace.ts'

export interface AcpBackendOptions extends WorkspaceSource {
  containers: Containers
  /** Must hold the agent, and `sh`, `sed`, `mkfifo` and `timeout`. */
  image: string
  /** The agent: it speaks the Agent Client Protocol on its stdin and stdout. */
  command: readonly string[]
  environment(workspace: Workspace, choices: Choices, layers: readonly PermissionPolicy[], network: TaskNetwork, out: WayOut | undefined): Record<string, string>
  /** What must not appear in events. */
  secrets: readonly string[]
  /** One of the agent's ways to log in, for those that want to be told. */
  authMethod?: string
  /** `environment` tells it which model a task chose; else the agent is asked for it. */
  isModelInEnvironment: boolean
  /** Of its profile, within those of all containers. */
  limits?: Partial<Limits>
  /** What tasks may choose. */
  offers: Offers
  egress: Egress | undefined
  patience: AcpRun['patience']
  /** What agents may do without asking; default: nothing beyond the built-in policy. */
  policy?: PolicyRules
  /** What the profile says besides: `deny` to everything that its agent asks for. */
  permission: 'allow' | 'deny'
}

/** What the driver adds to a container's handle, and which container it is. `session`: known once the agent made it. `kept`: the agent can go on with it. `resumed`: it was made by an earlier execution. */
const Session = z.object({ container_id: z.string().optional(), session: z.string().optional(), kept: z.boolean().optional(), resumed: z.boolean().optional() })

const NOTHING: PermissionPolicy = { '*': 'deny' }

/** Runs any agent that speaks the Agent Client Protocol, in a container per task. */
export function createAcpBackend(options: AcpBackendOptions): Backend {
  const { containers, image } = options
  return {
    mode: 'docker',
    capabilities: { isolation: 'container', adopt: true, resume: true, steer: false, ask: true, pause: true, usage: true, files: true },
    probe: () => containers.probe(image),
    engineId: () => containers.engineId(),
    list: () => listHandles(options),
    start: async (task, run) => {
      const handle = await launch(options, task, run, { profile: task.profile })
      return follow(options, task, handle, run, task.prompt)
    },
    attach: async (task, handle, run) => {
      if (!(await isThere(options, handle, run))) return undefined
      // What a resume that died had to say, only `resume` knows; what it said is in the journal, and nothing is said twice.
      return follow(options, task, handle, run, Session.parse(handle.data).resumed === true ? undefined : task.prompt)
    },
    resume: (task, handle, run, note) => resume(options, task, handle, run, note),
    checkpoint: (handle, run) => removeContainer(options, handle, run),
    dispose: (handle, run) => removeContainer(options, handle, run),
    close: () => containers.close(),
  }
}

/** A container in which the agent waits to be spoken to. Its address is stored before it starts, and again when it is known more precisely. */
async function launch(options: AcpBackendOptions, task: Task, run: RunContext, kept: Handle['data']): Promise<Handle> {
  const { containers, image, limits, offers } = options
  const choices = choicesWithin(task, offers, EVERY_CHOICE)
  mayKeep(options.egress, task)
  const workspace = workspaceOf(options.storage, task.id)
  const handle = handleIn(options, await containers.engineId(), { ...kept, container: containers.nameOf(task.id, run.claim), task: task.id })
  await run.onHandle(handle)
  await prepareFor(options, task, run, containers.user)
  const command = relayed(options.command, watchdogSeconds(run.deadlineAt, Date.now()))
  const environment = (network: TaskNetwork, out: WayOut | undefined): Record<string, string> => options.environment(workspace, choices, layersOf(options.policy ?? NO_RULES, task), network, out)
  const id = await containers.start({ task, claim: run.claim, deadlineAt: run.deadlineAt, image: choices.image ?? image, command, environment, workspace, run, hasInput: true, limits: { ...limits, ...limitsOfTask(choices) } })
  const precise: Handle = { ...handle, data: { ...handle.data, container_id: id } }
  await run.onHandle(precise)
  return precise
}

/** The agent's words of the execution that is gone are written down first, as far as the engine still has them. */
async function resume(options: AcpBackendOptions, task: Task, handle: Handle, run: RunContext, note: string): Promise<Execution | undefined> {
  const { session, kept } = Session.parse(handle.data)
  const container = containerOf(handle)
  let position = task.position
  if (session !== undefined && kept === true) {
    await run.confirmClaim()
    await options.containers.kill(container)
    position = await drain(options, task, handle, run)
  }
  await removeContainer(options, handle, run)
  if (session === undefined || kept !== true) return undefined
  const stored = parseAcpPosition(position)
  // Under the same claim the next container has the name of this one, and counts its lines anew.
  if (stored !== undefined) {
    position = JSON.stringify({ ...stored, execution: '' })
    await run.emit([], position)
  }
  const next = await launch(options, task, run, { profile: task.profile, session, kept, resumed: true })
  return follow(options, { ...task, ...(position === undefined ? {} : { position }) }, next, run, note)
}

/** What an execution said that nobody has written down yet. */
async function drain(options: AcpBackendOptions, task: Task, handle: Handle, run: RunContext): Promise<string | undefined> {
  const container = containerOf(handle)
  if (parseAcpPosition(task.position)?.execution !== container || (await options.containers.state(container)) === undefined) return task.position
  const mirror = await mirrorOf(options, task, handle, run)
  const reader = createReader(mirror, Session.parse(handle.data).resumed === true, { noted: () => {}, heard: () => {} })
  await readOnce(containerPipe(options.containers, container, run.log), reader, mirror, run.signal)
  await mirror.cutOff()
  return JSON.stringify(mirror.position())
}

async function mirrorOf(options: AcpBackendOptions, task: Task, handle: Handle, run: RunContext): Promise<AcpMirror> {
  const workspace = workspaceOf(options.storage, TaskId.parse(task.id))
  const baseline = await baselineOf(workspace)
  if (baseline === undefined) throw new TaskFailure('storage_unavailable', `the workspace ${workspace.directory} has lost its baseline`)
  const isResumed = Session.parse(handle.data).resumed === true
  const clean = redactor(secretsHere(options))
  return createAcpMirror({
    position: positionFor(containerOf(handle), parseAcpPosition(task.position), baseline, !isResumed), isResumed,
    baseline, run, files: createFileWatch(workspace, run.log, clean), clean,
  })
}

function secretsHere({ secrets, offers }: AcpBackendOptions): string[] {
  return [...secrets, ...Object.values(offers.env)]
}

/** @param prompt undefined: it is known to have been sent, or nobody knows what it was */
async function follow(options: AcpBackendOptions, task: Task, handle: Handle, run: RunContext, prompt: string | undefined): Promise<Execution> {
  let current = handle
  await options.containers.network() // an adopter relays for the container that it takes over, and looks after its way out
  const mirror = await mirrorOf(options, task, handle, run)
  const { session, resumed, container_id: known } = Session.parse(handle.data)
  const plan: Plan = {
    cwd: workspaceOf(options.storage, task.id).repo, prompt,
    ...(session !== undefined && resumed === true ? { session } : {}),
    ...(options.authMethod === undefined ? {} : { authMethod: options.authMethod }), ...(task.model === undefined || options.isModelInEnvironment ? {} : { model: task.model }),
    onSession: async (id, isKept) => {
      const next = { ...current, data: { ...current.data, session: id, kept: isKept } }
      if (current.data['session'] !== id) await run.onHandle(next)
      current = next
    },
  }
  // Not by its name, which the one before may have had: nobody is to take an answer to that one's question for an answer to this one's.
  const id = known ?? (await options.containers.state(containerOf(handle)))?.id ?? containerOf(handle)
  const pipe = { ...containerPipe(options.containers, containerOf(handle), run.log), id }
  const clean = redactor(secretsHere(options))
  const layers = [...layersOf(options.policy ?? NO_RULES, task), ...(options.permission === 'deny' ? [NOTHING] : [])]
  const over = driveAcp({ pipe, plan, mirror, run, layers, clean, patience: options.patience }).then((end) => withGitResult(options, task, run, cleanOutcome(end, clean)))
  const outcome = tellingRefusals(options.egress, executionOf(containerOf(handle)), run, over)
  outcome.catch(() => {}) // whoever awaits it hears of it
  return { get handle() { return current }, outcome, result: () => mirror.result() }
}

import { type Admitted, type DeploymentId, TaskId } from '@longshore/contracts'
import type Docker from 'dockerode'
import type { Owner } from '../workspace/prepare.ts'
import type { Workspace } from '../workspace/storage.ts'

/** By these labels a deployment knows its own (G10). */
export const LABEL = { deployment: 'longshore.deployment', storage: 'longshore.storage', task: 'longshore.task', claim: 'longshore.claim' } as const

export interface Limits {
  /** CPUs, fractions allowed; `RUNNER_CPU_LIMIT`. */
  cpus: number
  /** `RUNNER_MEMORY_LIMIT`; an OpenCode server needs about 620 MB. */
  memoryBytes: number
  /** Processes and threads. */
  pids: number
  /** Size of /tmp, in memory. */
  tmpBytes: number
  /** `RUNNER_LOG_LIMIT`: what the engine keeps of its output, in which adopters and slow readers find what they have not read. Each line costs about 90 bytes more there. */
  logBytes: number
}

/** The predecessor's two CPUs and 2 GB; the rest is room that no honest task has needed. */
export const DEFAULT_LIMITS: Limits = { cpus: 2, memoryBytes: 2 * 1024 ** 3, pids: 512, tmpBytes: 512 * 1024 ** 2, logBytes: 2 * 1024 ** 3 }

/** When the last is full the first goes; with one, all would. */
const LOG_FILES = 2

export interface ContainerSpec {
  deployment: DeploymentId
  /** The id of the workspace's storage: two installations that chose the same name for their deployment do not sweep each other's containers. */
  storage: string
  taskId: TaskId
  claim: number
  image: string
  command: string[]
  environment: Record<string, string>
  workspace: Workspace
  user: Owner
  network: string
  /** That network leads nowhere: names are not to be asked for either, which an engine may do for it from outside. */
  isClosed: boolean
  limits: Limits
  /** Default: no. */
  hasInput?: boolean
}

/** One name per claim: an address that is known before anything is started. */
export function containerName(deployment: DeploymentId, taskId: TaskId, claim: number): string {
  return `longshore-${deployment}-${taskId}-${claim}`
}

/** The inverse of `containerName`; undefined for any other name. */
export function executionOf(name: string): Admitted | undefined {
  const [, task, claim] = /-(task-[0-9a-z]{26})-(\d+)$/.exec(name) ?? []
  const taskId = TaskId.safeParse(task).data
  return taskId === undefined ? undefined : { taskId, claim: Number(claim) }
}

/** Non-root, no capability, no new privileges, read-only root, bounded, and nothing of the host but the task's two folders (DESIGN decision 8). */
export function containerOptions(spec: ContainerSpec): Docker.ContainerCreateOptions {
  const { workspace, limits } = spec
  return {
    name: containerName(spec.deployment, spec.taskId, spec.claim),
    Image: spec.image,
    Entrypoint: [],
    Cmd: spec.command,
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    User: `${spec.user.uid}:${spec.user.gid}`,
    WorkingDir: workspace.repo,
    ...(spec.hasInput === true ? { OpenStdin: true, StdinOnce: false } : {}), // not once: it stays open when a worker that wrote to it dies
    StopSignal: 'SIGKILL', // `docker stop` and an engine that stops: a command may answer SIGTERM with exit code 0, as if it were done
    Labels: { [LABEL.deployment]: spec.deployment, [LABEL.storage]: spec.storage, [LABEL.task]: spec.taskId, [LABEL.claim]: String(spec.claim) },
    HostConfig: {
      Binds: [`${workspace.repo}:${workspace.repo}`, `${workspace.state}:${workspace.state}`],
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      ReadonlyRootfs: true,
      Tmpfs: { '/tmp': `rw,exec,nosuid,nodev,mode=1777,size=${limits.tmpBytes}` }, // exec: OpenCode unpacks native libraries there
      NetworkMode: spec.network,
      ...(spec.isClosed ? { Dns: ['127.0.0.1'] } : {}), // nobody answers there: the egress proxy looks names up
      PidsLimit: limits.pids,
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      NanoCpus: Math.round(limits.cpus * 1e9),
      Init: true, // reaps what the agent's tools leave behind
      LogConfig: { Type: 'json-file', Config: { 'max-size': String(Math.floor(limits.logBytes / LOG_FILES)), 'max-file': String(LOG_FILES) } },
    },
  }
}

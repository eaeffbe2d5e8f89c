import { type Backend, type BlobStore, DEFAULT_PROFILE, type DeploymentId, type Egress, type Handle, type Log, type PolicyRules, type Task, TaskFailure } from '@longshore/contracts'
import { backendOf, type DockerProfile, type ProfileBackend, type ProfileContext } from './docker-profile.ts'
import { DEFAULT_PATIENCE, type Patience } from './drivers/opencode/patience.ts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { accessOfAll } from './model/access-of-all.ts'
import { guardModel } from './model/guarded-model.ts'
import { DEFAULT_LIMITS, type Limits } from './places/container-spec.ts'
import { createContainers } from './places/containers.ts'
import { NO_OFFERS, type Offers } from './task-choices.ts'
import type { Owner } from './workspace/prepare.ts'
import type { GitAccess } from './workspace/git-access.ts'
import type { Storage } from './workspace/storage.ts'

export interface DockerModeOptions {
  deployment: DeploymentId
  /** The engine, in the form of DOCKER_HOST. */
  engine: string
  storage: Storage
  /** Which repositories tasks may have; default: none. */
  git?: GitAccess
  /** Where files are that were sent along with tasks; default: they cannot be had. */
  blobs?: Pick<BlobStore, 'get'>
  /** The image of the profile `opencode`; `RUNNER_IMAGE`. */
  image: string
  model: ModelAccess
  /** As whom agents run in their containers; never root. Default: as this worker, or 1000:1000 when it is root. Only root can give a workspace to somebody else. */
  user?: Owner
  limits?: Partial<Limits>
  /** The origin (`http://127.0.0.1:4010`) of a model provider on this host's loopback: containers get a relay to it, which nobody else can reach. */
  modelOnHost?: string
  /** What agents may do without asking. */
  policy?: PolicyRules
  /** The way out of containers: their network is closed, and instead of keys they have a token. `modelOnHost` is not needed then. */
  egress?: Egress | undefined
  /** How OpenCode servers are watched. */
  patience?: Partial<Patience>
  /** What its containers can run, by name, besides the profile `opencode`; one of that name takes its place. */
  profiles?: Readonly<Record<string, DockerProfile>>
  /** What tasks may choose. Default: nothing. */
  offers?: Offers
  log: Log
}

/** Docker mode: a container per task on one engine. The profile of the task says what runs in it. */
export function createDockerMode(options: DockerModeOptions): Backend {
  const { egress, log } = options
  const source = { storage: options.storage, ...(options.git === undefined ? {} : { git: options.git }), ...(options.blobs === undefined ? {} : { blobs: options.blobs }) }
  const origin = options.modelOnHost === undefined || egress !== undefined ? undefined : new URL(options.modelOnHost)
  const containers = createContainers({
    deployment: options.deployment, engine: options.engine, storage: options.storage, user: options.user ?? agentUser(), limits: { ...DEFAULT_LIMITS, ...options.limits }, log, egress,
    ...(origin === undefined ? {} : { hostService: { host: origin.hostname, port: Number(origin.port) } }),
  })
  const shared: ProfileContext = {
    containers, source, offers: options.offers ?? NO_OFFERS, model: options.model, patience: { ...DEFAULT_PATIENCE, ...options.patience },
    egress, guarded: egress === undefined ? undefined : guardModel(accessOfAll(options)),
    ...(options.policy === undefined ? {} : { policy: options.policy }), ...(origin === undefined ? {} : { hostOrigin: origin.origin }),
  }
  const profiles: Record<string, DockerProfile> = { [DEFAULT_PROFILE]: { driver: 'opencode', image: options.image }, ...options.profiles }
  return byProfile(new Map(Object.entries(profiles).map(([name, profile]) => [name, backendOf(profile, shared)])))
}

function agentUser(): Owner {
  const uid = process.getuid?.() ?? 0
  return uid === 0 ? { uid: 1000, gid: 1000 } : { uid, gid: process.getgid?.() ?? uid }
}

/** One mode with several profiles; a handle keeps its task's. What the default profile is capable of is what a task without a wish can count on. */
function byProfile(profiles: ReadonlyMap<string, ProfileBackend>): Backend {
  const main = profiles.get(DEFAULT_PROFILE)?.backend
  if (main === undefined) throw new Error(`no profile ${DEFAULT_PROFILE}`)
  const ofTask = ({ profile }: Task): Backend => {
    const found = profiles.get(profile)
    if (found === undefined) throw new TaskFailure('not_allowed', `profile: the task asks for "${profile}"; this worker has ${[...profiles.keys()].join(', ')}`)
    return found.backend
  }
  const ofHandle = ({ data }: Handle): Backend => profiles.get(String(data['profile']))?.backend ?? main
  return {
    mode: main.mode,
    capabilities: main.capabilities,
    profiles: new Map([...profiles].map(([name, { backend, choices }]) => [name, { capabilities: backend.capabilities, choices }])),
    probe: () => main.probe(),
    start: async (task, run) => ofTask(task).start(task, run),
    attach: (task, handle, run) => ofHandle(handle).attach(task, handle, run),
    engineId: () => main.engineId(),
    resume: (task, handle, run, note) => ofHandle(handle).resume(task, handle, run, note),
    checkpoint: (handle, run) => ofHandle(handle).checkpoint(handle, run),
    list: () => main.list(), // the containers of all profiles
    dispose: (handle, run) => ofHandle(handle).dispose(handle, run),
    close: () => main.close(), // all profiles share its containers
  }
}

import { type Backend, type DeploymentId, type Egress, type Handle, type Log, type Task, TaskFailure } from '@longshore/contracts'
import { type CommandProfile, createCommandBackend } from './command-backend.ts'
import type { Patience } from './drivers/opencode/patience.ts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import { guardModel } from './model/guarded-model.ts'
import { createOpencodeBackend } from './opencode-backend.ts'
import { containerPlace } from './places/container-place.ts'
import { DEFAULT_LIMITS, type Limits } from './places/container-spec.ts'
import { createContainers } from './places/containers.ts'
import type { Owner } from './workspace/prepare.ts'
import type { Storage } from './workspace/storage.ts'

export interface DockerModeOptions {
  deployment: DeploymentId
  /** The engine, in the form of DOCKER_HOST. */
  engine: string
  storage: Storage
  /** The image of the profile `opencode`; `RUNNER_IMAGE`. */
  image: string
  model: ModelAccess
  /** As whom agents run in their containers; never root. Default: as this worker, or 1000:1000 when it is root. Only root can give a workspace to somebody else. */
  user?: Owner
  limits?: Partial<Limits>
  /** The origin (`http://127.0.0.1:4010`) of a model provider on this host's loopback: containers get a relay to it, which nobody else can reach. */
  modelOnHost?: string
  /** The way out of containers: their network is closed, and instead of keys they have a token. `modelOnHost` is not needed then. */
  egress?: Egress | undefined
  /** How OpenCode servers are watched. */
  patience?: Partial<Patience>
  /** Further profiles: plain commands. One named `opencode` takes the place of the OpenCode server. */
  commands?: Record<string, CommandProfile>
  log: Log
}

const OPENCODE = 'opencode'

/** Docker mode: a container per task on one engine. The profile of the task says what runs in it. */
export function createDockerMode(options: DockerModeOptions): Backend {
  const { storage, model, modelOnHost, egress, log } = options
  const origin = modelOnHost === undefined || egress !== undefined ? undefined : new URL(modelOnHost)
  const containers = createContainers({
    deployment: options.deployment, engine: options.engine, storage, user: options.user ?? agentUser(), limits: { ...DEFAULT_LIMITS, ...options.limits }, log, egress,
    ...(origin === undefined ? {} : { hostService: { host: origin.hostname, port: Number(origin.port) } }),
  })
  const place = containerPlace({ containers, image: options.image, model, guarded: egress === undefined ? undefined : guardModel(model), ...(origin === undefined ? {} : { hostOrigin: origin.origin }) })
  const opencode = createOpencodeBackend({ mode: 'docker', place, storage, model, egress, ...(options.patience === undefined ? {} : { patience: options.patience }) })
  const profiles = new Map<string, Backend>([[OPENCODE, opencode]])
  for (const [name, profile] of Object.entries(options.commands ?? {})) profiles.set(name, createCommandBackend({ ...profile, containers, storage, egress, guarded: guardModel({ config: model.config, env: profile.env }) }))
  return byProfile(profiles, profiles.get(OPENCODE) ?? opencode)
}

function agentUser(): Owner {
  const uid = process.getuid?.() ?? 0
  return uid === 0 ? { uid: 1000, gid: 1000 } : { uid, gid: process.getgid?.() ?? uid }
}

/** One mode with several profiles; a handle keeps its task's. What `main` is capable of is what a task without a wish can count on. */
function byProfile(profiles: ReadonlyMap<string, Backend>, main: Backend): Backend {
  const ofTask = ({ profile }: Task): Backend => {
    const backend = profiles.get(profile)
    if (backend === undefined) throw new TaskFailure('internal', `this worker has no profile "${profile}"; it has ${[...profiles.keys()].join(', ')}`)
    return backend
  }
  const ofHandle = ({ data }: Handle): Backend => profiles.get(String(data['profile'])) ?? main
  return {
    mode: main.mode,
    capabilities: main.capabilities,
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

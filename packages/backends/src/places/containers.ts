import { setTimeout as delay } from 'node:timers/promises'
import { type Admitted, type BackendHealth, type DeploymentId, type Egress, type Failure, type Log, type Task, TaskFailure, TaskId } from '@longshore/contracts'
import type Docker from 'dockerode'
import { z } from 'zod'
import type { Owner } from '../workspace/prepare.ts'
import type { Storage, Workspace } from '../workspace/storage.ts'
import { containerName, containerOptions, executionOf, LABEL, type Limits } from './container-spec.ts'
import { asEngineFailure, connectEngine, engineStatus, lacksImage } from './engine.ts'
import { createImages, type Images } from './images.ts'
import { createHostGateway, type HostGateway } from './host-gateway.ts'
import { isRefusal, onNetwork, refusalOf, removeMade, type Starter, startMade } from './start-container.ts'
import { probeStorage } from './storage-probe.ts'
import type { WayOut } from '../model/guarded-model.ts'
import { ensureNetwork, removeIdleNetwork, type TaskNetwork } from './task-network.ts'
import { letOut, revoking, wayOutEnvironment } from './way-out.ts'

export interface ContainersOptions {
  deployment: DeploymentId
  /** In the form of DOCKER_HOST. */
  engine: string
  storage: Storage
  /** As whom agents run; never root. */
  user: Owner
  limits: Limits
  /** A service on this host's loopback that containers may reach at the network's gateway, on the same port. */
  hostService?: { host: string; port: number }
  /** The way out of containers, whose network is closed then. */
  egress?: Egress | undefined
  log: Log
}

/** What is known of a container. */
interface ContainerState {
  id: string
  /** It was made and never started: nothing of it has run. */
  isNew: boolean
  isRunning: boolean
  exitCode: number
  outOfMemory: boolean
  address: string | undefined
}

/** A container by what its labels say; `createdAt` in Unix ms, by the engine's clock. */
interface FoundContainer { taskId: TaskId; name: string; createdAt: number }

interface StartSpec {
  task: Pick<Task, 'id' | 'network'>
  claim: number
  image: string
  command: string[]
  /** Unix ms: its own watchdog ends it a little later. */
  deadlineAt: number
  /** On the network that it is started on; `out`: where there is an egress proxy. */
  environment(network: TaskNetwork, out: WayOut | undefined): Record<string, string>
  workspace: Workspace
  /** Its stdin stays open, whoever writes to it. Default: it has none. */
  hasInput?: boolean
  /** Within those of all. */
  limits?: Partial<Limits>
  /** Its signal also aborts the wait for an image that has to be pulled first. */
  run: Starter
}

/** The containers of one deployment on one engine. */
export interface Containers {
  readonly docker: Docker
  readonly user: Owner
  /** Whether the engine answers, has `image` (else it begins to pull it), and shows the storage's files to the agent's user at the same path. */
  probe(image: string): Promise<BackendHealth>
  engineId(): Promise<string>
  /** The network, made if need be, with the relay to the host's service and the egress proxy. */
  network(): Promise<TaskNetwork>
  nameOf(taskId: TaskId, claim: number): string
  /** Creates and starts, and makes the network and pulls the image before that if need be; returns its id. @throws TaskFailure */
  start(spec: StartSpec): Promise<string>
  /** Starts one that `isNew`; false: that one cannot be. @throws TaskFailure when the engine does not answer */
  startNew(id: string, run: Starter): Promise<boolean>
  /** undefined: there is none of that name that is ours. @throws TaskFailure when the engine does not answer */
  state(name: string): Promise<ContainerState | undefined>
  /** Why a container no longer runs; undefined while it does, or when the engine does not answer. */
  autopsy(name: string): Promise<Failure | undefined>
  /** Kills it, and leaves what it has put out; idempotent. */
  kill(name: string): Promise<void>
  /** Kills and removes it, and what earlier claims of its task left behind, and makes their tokens worthless; idempotent. */
  remove(name: string): Promise<void>
  /** Those of this deployment and this storage, running or not. @throws TaskFailure when the engine does not answer */
  list(): Promise<FoundContainer[]>
  close(): Promise<void>
}

const PING_TIMEOUT_MS = 5_000
const REMOVE_TIMEOUT_MS = 20_000
const REMOVE_POLL_MS = 50
const Inspected = z.object({
  Id: z.string(),
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullable() }),
  State: z.object({ Status: z.string(), Running: z.boolean(), ExitCode: z.number(), OOMKilled: z.boolean() }),
  NetworkSettings: z.object({ Networks: z.record(z.string(), z.object({ IPAddress: z.string() })) }),
})
/** A container without a task is no execution: the storage's probe. */
const Listed = z.object({ Names: z.tuple([z.string()]).rest(z.string()), Created: z.number(), Labels: z.object({ [LABEL.task]: TaskId }) })

/** Opens no connection; `user` must not be root. */
export function createContainers(options: ContainersOptions): Containers {
  const { deployment, user, log } = options
  if (user.uid === 0) throw new Error('agents in containers do not run as root: give a uid other than 0')
  const docker = connectEngine(options.engine)
  const gateway = options.hostService === undefined ? undefined : createHostGateway(deployment, options.hostService, log)
  const images = createImages(docker, log)
  const isStorageSeen = new Map<string, Promise<string | undefined>>()
  let engineId: string | undefined
  const inspect = (name: string): Promise<ContainerState | undefined> => inspectOwn(docker, deployment, name)
  const network = (): Promise<TaskNetwork> => openNetwork(options, docker, gateway).catch(rethrow('make the task network'))
  return {
    docker,
    user,
    probe: async (image) => {
      const reason = await whyNot(options, docker, images, image, isStorageSeen)
      return reason === undefined ? { ok: true } : { ok: false, reason }
    },
    engineId: async () => engineId ??= idOf(await docker.info().catch(rethrow('answer'))),
    network,
    nameOf: (taskId, claim) => containerName(deployment, taskId, claim),
    start: (spec) => onNetwork(network, (on) => startOn(docker, options, images, spec, on)),
    startNew: async (id, run) => {
      try {
        await onNetwork(network, () => startMade(docker.getContainer(id), run))
        return true
      } catch (error) {
        if (isRefusal(error)) return false
        throw error
      }
    },
    state: (name) => inspect(name).catch(rethrow('say how the container is')),
    autopsy: async (name) => {
      try {
        return causeOfDeath(await inspect(name))
      } catch {
        return undefined
      }
    },
    kill: async (name) => {
      const state = await inspect(name).catch(rethrow('say how the container is'))
      if (state?.isRunning === true) await docker.getContainer(state.id).kill().catch(unlessOver)
    },
    remove: async (name) => {
      try {
        await revoking(options.egress, executionOf(name), () => removeOwn(docker, name, inspect))
        for (const { id, execution } of await earlierOnes(docker, deployment, name)) await revoking(options.egress, execution, () => removeOwn(docker, id, inspect))
      } catch (error) {
        throw asEngineFailure(error, 'remove the container')
      }
    },
    list: () => listOwn(docker, deployment, options.storage).catch(rethrow('list its containers')),
    // With the network its relay ends.
    close: async () => {
      for (const isClosed of [true, false]) await removeIdleNetwork(docker, { deployment, isClosed }).catch((error: unknown) => log.debug({ err: error }, 'the task network stays'))
    },
  }
}

/** Older engines have one id per machine, and copies of a machine's disk have the same one; no two on a machine share their data. */
function idOf(info: unknown): string {
  const { ID, Name, DockerRootDir } = z.object({ ID: z.string(), Name: z.string(), DockerRootDir: z.string() }).parse(info)
  return `${ID}@${Name}:${DockerRootDir}`
}

function rethrow(what: string): (error: unknown) => never {
  return (error) => {
    throw asEngineFailure(error, what)
  }
}

async function whyNot(options: ContainersOptions, docker: Docker, images: Images, image: string, seen: Map<string, Promise<string | undefined>>): Promise<string | undefined> {
  try {
    const late = delay(PING_TIMEOUT_MS, undefined, { ref: false }).then(() => Promise.reject(new TaskFailure('backend_unavailable', `no answer within ${PING_TIMEOUT_MS / 1000} s`)))
    await Promise.race([docker.ping(), late])
    const { Id: id } = await docker.getImage(image).inspect()
    const proof = seen.get(id) ?? probeStorage(docker, options.deployment, options.storage, image, options.user)
    seen.set(id, proof)
    proof.catch(() => seen.delete(id))
    const reason = await proof
    if (reason !== undefined) seen.delete(id)
    return reason
  } catch (error) {
    return lacksImage(error) ? images.pullSoon(image) : asEngineFailure(error, 'answer').message
  }
}

async function startOn(docker: Docker, { deployment, storage, user, limits, egress }: ContainersOptions, images: Images, { run, task, deadlineAt, ...spec }: StartSpec, network: TaskNetwork): Promise<string> {
  run.signal.throwIfAborted()
  const out = egress === undefined ? undefined : await letOut(egress, network.gateway, { task, claim: spec.claim, deadlineAt })
  const environment = { ...spec.environment(network, out), ...(out === undefined ? {} : wayOutEnvironment(out)) }
  const create = (): Promise<Docker.Container> =>
    docker.createContainer(containerOptions({ ...spec, taskId: task.id, environment, deployment, storage: storage.id, user, limits: { ...limits, ...spec.limits }, network: network.name, isClosed: egress !== undefined }))
  const container = await create().catch(async (error: unknown) => {
    if (!lacksImage(error)) throw error
    await images.pull(spec.image, run.signal)
    return create()
  }).catch((error: unknown) => Promise.reject(refusalOf(error, run.signal)))
  try {
    await startMade(container, run)
    return container.id
  } catch (error) {
    await removeMade(container)
    throw error
  }
}

async function openNetwork({ deployment, egress }: ContainersOptions, docker: Docker, gateway: HostGateway | undefined): Promise<TaskNetwork> {
  const network = await ensureNetwork(docker, { deployment, isClosed: egress !== undefined })
  await Promise.all([gateway?.open(network.gateway), egress?.open(network.gateway)])
  return network
}

/** G10: a container of that name without our label is somebody else's, and so is not there. */
async function inspectOwn(docker: Docker, deployment: DeploymentId, name: string): Promise<ContainerState | undefined> {
  let raw: unknown
  try {
    raw = await docker.getContainer(name).inspect()
  } catch (error) {
    if (engineStatus(error) === 404) return undefined
    throw error
  }
  const { Id, Config, State, NetworkSettings } = Inspected.parse(raw)
  if (Config.Labels?.[LABEL.deployment] !== deployment) return undefined
  const address = Object.values(NetworkSettings.Networks).map((network) => network.IPAddress).find((ip) => ip !== '')
  return { id: Id, isNew: State.Status === 'created', isRunning: State.Running, exitCode: State.ExitCode, outOfMemory: State.OOMKilled, address }
}

/** Containers of the same task under earlier claims: an attempt that could not be cleared while the engine was away. */
async function earlierOnes(docker: Docker, deployment: DeploymentId, name: string): Promise<{ id: string; execution: Admitted }[]> {
  const execution = executionOf(name)
  if (execution === undefined) return []
  const { taskId, claim } = execution
  const found = await docker.listContainers({ all: true, filters: { label: [`${LABEL.deployment}=${deployment}`, `${LABEL.task}=${taskId}`] } })
  return found.filter(({ Labels }) => Number(Labels[LABEL.claim]) < claim).map(({ Id, Labels }) => ({ id: Id, execution: { taskId, claim: Number(Labels[LABEL.claim]) } }))
}

async function listOwn(docker: Docker, deployment: DeploymentId, storage: Storage): Promise<FoundContainer[]> {
  const label = [`${LABEL.deployment}=${deployment}`, `${LABEL.storage}=${storage.id}`]
  const listed = (await docker.listContainers({ all: true, filters: { label } })).map((one) => Listed.safeParse(one).data)
  return listed.filter((one) => one !== undefined).map(({ Names: [name], Created, Labels }) => ({ taskId: Labels[LABEL.task], name: name.slice(1), createdAt: Created * 1000 }))
}

function causeOfDeath(state: ContainerState | undefined): Failure | undefined {
  if (state?.isRunning === true) return undefined
  if (state === undefined) return { code: 'backend_lost', message: 'the container is gone' }
  if (state.outOfMemory) return { code: 'out_of_memory', message: 'the container was killed by its memory limit (RUNNER_MEMORY_LIMIT)' }
  return { code: 'backend_lost', message: `the container ended with exit code ${state.exitCode}` }
}

/** Gone, or ended by itself meanwhile. */
function unlessOver(error: unknown): void {
  if (engineStatus(error) !== 404 && engineStatus(error) !== 409) throw asEngineFailure(error, 'kill the container')
}

async function removeOwn(docker: Docker, name: string, inspect: (name: string) => Promise<ContainerState | undefined>): Promise<void> {
  const end = performance.now() + REMOVE_TIMEOUT_MS
  for (let state = await inspect(name); state !== undefined; state = await inspect(name)) {
    if (performance.now() > end) throw new TaskFailure('backend_unavailable', `the container ${name} is still there ${REMOVE_TIMEOUT_MS / 1000} s after its removal`)
    await docker.getContainer(state.id).remove({ force: true, v: true }).catch((error: unknown) => {
      const status = engineStatus(error)
      if (status !== 404 && status !== 409) throw error // gone, or somebody else is removing it
    })
    await delay(REMOVE_POLL_MS)
  }
}

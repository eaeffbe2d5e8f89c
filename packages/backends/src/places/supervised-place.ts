import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, lchown, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Admitted, type DeploymentId, type Egress, TaskFailure, TaskId } from '@longshore/contracts'
import { z } from 'zod'
import { type ModelAccess, serverEnvironment } from '../drivers/opencode/server-settings.ts'
import { choicesWithin, modelOfTask, NO_OFFERS, type Offers, PROCESS_CHOICES } from '../task-choices.ts'
import { accessOfAll } from '../model/access-of-all.ts'
import { guardModel } from '../model/guarded-model.ts'
import { passwordOf, renewPassword } from '../workspace/prepare.ts'
import { type Storage, type Workspace, workspaceOf } from '../workspace/storage.ts'
import { type Confinement, findConfinement } from './confinement.ts'
import { bootedAt, hostId, isAlive, killExecution, MARKER, markedProcesses, type ProcessName, startTicksOf, TICK_MS } from './process-tree.ts'
import { type HandleData, type Launch, type ServerPlace, type Sighting, watchdogSeconds } from './server-place.ts'
import { letOut, revoking, wayOutEnvironment } from './way-out.ts'

export interface SupervisedPlaceOptions {
  deployment: DeploymentId
  /** The `opencode` binary. */
  binary: string
  model: ModelAccess
  /** What tasks may choose. Default: nothing. */
  offers?: Offers
  /** PATH of the agents: where their tools are. */
  path: string
  storage: Storage
  /** Files and folders, besides the storage, that agents must not see; absolute. */
  hidden: readonly string[]
  /** Instead of keys agents have a token, and their tools are told to go through the proxy. Nothing makes them. */
  egress?: Egress | undefined
  /** What all agents of the deployment get of keys, and so the proxy has. Default: what those of this place get. */
  whole?: ModelAccess | undefined
}

const Data = z.object({ marker: z.string(), host: z.string().optional(), pid: z.number().optional(), start_ticks: z.string().optional(), url: z.string().optional() })
/** @throws TaskFailure for a handle of the other place of this mode */
function dataOf(data: HandleData): z.infer<typeof Data> {
  const parsed = Data.safeParse(data)
  if (!parsed.success) throw new TaskFailure('backend_unavailable', 'the session lives on a remote OpenCode server (OPENCODE_SERVER_URL), which this worker is not set to')
  return parsed.data
}

/** Where the proxy of this host's agents is. */
const LOOPBACK = '127.0.0.1'
const LOG_FILE = 'server.log'
const LOG_HEAD_BYTES = 64 * 1024
/** Seen: 1.2 to 2.8 s, and more when many start at once. */
const LISTEN_TIMEOUT_MS = 60_000
const POLL_MS = 50

/** An `opencode serve` per task as a process of this host: own group, a scrubbed environment, and as confined as the kernel allows. */
export async function supervisedPlace(options: SupervisedPlaceOptions): Promise<ServerPlace & { readonly confinement: Confinement }> {
  const [confinement, host] = await Promise.all([findConfinement(options), hostId()])
  return {
    isolation: 'process',
    ownServer: true,
    confinement,
    ...(confinement.owner === undefined ? {} : { owner: confinement.owner }),
    probe: async () => {
      const isThere = await access(options.binary, constants.X_OK).then(() => true, () => false)
      return isThere ? { ok: true } : { ok: false, reason: `there is no runnable OpenCode at ${options.binary}; install the package opencode-ai` }
    },
    engineId: () => Promise.resolve(host),
    reserve: ({ task, claim }) => ({ marker: `${prefixOf(options)}${task.id}/${claim}/${randomUUID()}`, host }),
    start: (launch, reserved) => start(options, confinement, launch, reserved),
    address: async (data, workspace) => {
      const address = await addressOf(data, workspace, host)
      if (address !== undefined) await options.egress?.open(LOOPBACK) // an adopter looks after the way out
      return address
    },
    admitted: (data) => executionOf(dataOf(data).marker, prefixOf(options)),
    autopsy: async (data) => {
      const name = nameOf(data)
      return name === undefined || (await isAlive(name)) ? undefined : { code: 'backend_lost', message: 'the OpenCode server process is gone' }
    },
    remove: async (data, log) => {
      const { marker, host: home } = dataOf(data)
      if (home !== host) throw new TaskFailure('backend_unavailable', 'the OpenCode process lives on another host; only a worker there can end it')
      await revoking(options.egress, executionOf(marker, prefixOf(options)), () => killExecution(marker, nameOf(data)))
      const taskId = taskOf(marker, prefixOf(options))
      if (taskId !== undefined) await rm(temporaryOf(workspaceOf(options.storage, taskId), marker), { recursive: true, force: true }).catch((error: unknown) => log.debug({ err: error }, 'temporary files of the agent stay in its workspace'))
    },
    list: () => list(prefixOf(options), host),
    close: () => Promise.resolve(),
  }
}

/** What the marker of all processes of this deployment begins with. With the storage's id: two installations on one host may bear the same name. */
function prefixOf({ deployment, storage }: SupervisedPlaceOptions): string {
  return `${deployment}/${storage.id}/`
}

function taskOf(marker: string, prefix: string): TaskId | undefined {
  return TaskId.safeParse(marker.slice(prefix.length).split('/')[0]).data
}

/** As `reserve` names them: `<task>/<claim>/<random>` behind the prefix. */
function executionOf(marker: string, prefix: string): Admitted | undefined {
  const taskId = taskOf(marker, prefix)
  const claim = Number(marker.slice(prefix.length).split('/')[1])
  return taskId === undefined || !Number.isSafeInteger(claim) ? undefined : { taskId, claim }
}

/**
 * One folder for each execution, gone with it: every server unpacks some megabytes. Right below `state`, which is the agent's but which it
 * cannot replace: what it puts in the folder's place is removed, not followed.
 */
function temporaryOf(workspace: Workspace, marker: string): string {
  return join(workspace.state, `tmp-${marker.split('/').at(-1)}`)
}

/** One for each marker; as old as the oldest process with it. */
async function list(prefix: string, host: string): Promise<Sighting[]> {
  const [processes, origin] = await Promise.all([markedProcesses(prefix), bootedAt()])
  const found = new Map<string, Sighting>()
  for (const { marker, startTicks } of processes) {
    const taskId = taskOf(marker, prefix)
    const createdAt = Math.min(origin + Number(startTicks) * TICK_MS, found.get(marker)?.createdAt ?? Infinity)
    if (taskId !== undefined) found.set(marker, { taskId, createdAt, data: { marker, host } })
  }
  return [...found.values()]
}

async function start(options: SupervisedPlaceOptions, confinement: Confinement, launch: Launch, reserved: HandleData): Promise<HandleData> {
  const { workspace } = launch
  const { marker } = dataOf(reserved)
  const password = await renewPassword(workspace)
  const log = await open(join(workspace.control, LOG_FILE), 'w', 0o600)
  try {
    const leader = await spawnServer(options, confinement, launch, marker, password, log)
    const url = await listening(join(workspace.control, LOG_FILE), leader)
    return { ...reserved, pid: leader.pid, start_ticks: leader.startTicks, url }
  } finally {
    await log.close()
  }
}

/** Starts the server so that it outlives this worker: its successor adopts it (G7), `timeout` ends it when there is none (G9). */
async function spawnServer(options: SupervisedPlaceOptions, confinement: Confinement, launch: Launch, marker: string, password: string, log: FileHandle): Promise<ProcessName> {
  const { offers = NO_OFFERS } = options
  const chosen = modelOfTask(options.model, choicesWithin(launch.task, offers, PROCESS_CHOICES), offers)
  const seconds = watchdogSeconds(launch.deadlineAt, Date.now())
  const command = 'timeout'
  const temporary = temporaryOf(launch.workspace, marker)
  await mkdir(temporary, { mode: 0o700 })
  if (confinement.owner !== undefined) await lchown(temporary, confinement.owner.uid, confinement.owner.gid)
  const out = options.egress === undefined ? undefined : await letOut(options.egress, LOOPBACK, launch)
  const model = out === undefined ? chosen : guardModel(options.whole ?? accessOfAll(options)).through(out, chosen)
  const server = await confinement.wrap(launch.workspace, [options.binary, 'serve', '--hostname', '127.0.0.1', '--port', '0'])
  const args = ['--signal=KILL', String(seconds), ...server]
  const child = spawn(command, args, {
    cwd: launch.workspace.repo,
    detached: true, // a session and process group of its own
    stdio: ['ignore', log.fd, log.fd],
    env: { ...serverEnvironment(launch.workspace, model, password, { path: options.path, temporary, permissions: launch.permissions }), ...(out === undefined ? {} : wayOutEnvironment(out)), [MARKER]: marker },
  })
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (error) => reject(new TaskFailure('backend_unavailable', `cannot start ${command}: ${error.message}`, { cause: error })))
  })
  failed.catch(() => {})
  child.unref()
  if (child.pid === undefined) return failed
  const startTicks = await startTicksOf(child.pid)
  if (startTicks === undefined) throw new TaskFailure('backend_unavailable', 'the OpenCode server ended at once; see its log in the workspace')
  return { pid: child.pid, startTicks }
}

async function listening(logFile: string, leader: ProcessName): Promise<string> {
  const end = performance.now() + LISTEN_TIMEOUT_MS
  for (;;) {
    const log = await headOf(logFile)
    const url = /listening on (http:\/\/127\.0\.0\.1:\d+)$/m.exec(log)?.[1]
    if (url !== undefined) return url
    if (!(await isAlive(leader))) throw new TaskFailure('backend_unavailable', `the OpenCode server ended before it listened: ${log.trim().slice(-500)}`)
    if (performance.now() > end) throw new TaskFailure('backend_unavailable', `the OpenCode server did not listen within ${LISTEN_TIMEOUT_MS / 1000} s`)
    await delay(POLL_MS)
  }
}

/** A later attempt's server reads what an earlier agent left in its home: what it says is not trusted, and may be long. */
async function headOf(logFile: string): Promise<string> {
  const file = await open(logFile)
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(LOG_HEAD_BYTES), position: 0 })
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

function nameOf(data: HandleData): ProcessName | undefined {
  const { pid, start_ticks: startTicks } = dataOf(data)
  return pid === undefined || startTicks === undefined ? undefined : { pid, startTicks }
}

async function addressOf(data: HandleData, workspace: Workspace, host: string): ReturnType<ServerPlace['address']> {
  const { url, host: home } = dataOf(data)
  const name = nameOf(data)
  if (home !== host) throw new TaskFailure('backend_unavailable', 'the OpenCode process lives on another host; only a worker there can reach it')
  if (url === undefined || name === undefined || !(await isAlive(name))) return undefined
  return { url, username: 'opencode', password: await passwordOf(workspace) }
}

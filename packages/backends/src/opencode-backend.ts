import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Backend, type Execution, type Failure, type Found, type Handle, type Mode, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { z } from 'zod'
import { cleanOutcome } from './clean-events.ts'
import { createSessionDriver, DEFAULT_PATIENCE, type Patience } from './drivers/opencode/drive.ts'
import { createLiveText } from './drivers/opencode/live-text.ts'
import { parsePosition, type Position } from './drivers/opencode/position.ts'
import { type ModelAccess, secretsOf } from './drivers/opencode/server-settings.ts'
import { asCallFailure, type ServerAddress, type SessionApi, sessionApi, statusOf } from './drivers/opencode/session-api.ts'
import { createSessionMirror } from './drivers/opencode/session-mirror.ts'
import { followStream } from './drivers/opencode/stream.ts'
import type { HandleData, ServerPlace } from './places/server-place.ts'
import { redactor } from './text.ts'
import { createFileWatch } from './workspace/file-watch.ts'
import { baselineOf, prepareWorkspace } from './workspace/prepare.ts'
import { type Storage, workspaceOf } from './workspace/storage.ts'

export interface OpencodeBackendOptions {
  mode: Mode
  place: ServerPlace
  storage: Storage
  /** Only for what must not appear in events; the place hands it to the server. */
  model: ModelAccess
  /** Default: `DEFAULT_PATIENCE`. */
  patience?: Patience
}

/** What the driver adds to a place's handle. */
const Session = z.object({ session: z.string().optional(), message: z.string().optional(), part: z.string().optional() })

/** Seen: 1.2 to 2.8 s, and 40 s on a machine with eight times the work it can do. A server that ended meanwhile is not waited for. */
const HEALTHY_TIMEOUT_MS = 90_000
/** The stream is opened before the prompt, but no run waits longer for it: it is only a hint. */
const STREAM_TIMEOUT_MS = 3_000
/** On a shared server: seen 20 to 280 ms, and more under load. */
const ABORT_TIMEOUT_MS = 15_000
/** Between a prompt and the session's becoming busy 1.1 s was seen; a prompt that shows nothing for longer than this was never taken. */
const SWALLOWED_MS = 5_000
/** A server that is ended anyway only gets the chance to write down where it stopped. */
const ABORT_OWN_TIMEOUT_MS = 1_000

/** Runs tasks on OpenCode servers, wherever `place` has them. */
export function createOpencodeBackend(options: OpencodeBackendOptions): Backend {
  const { place, mode } = options
  return {
    mode,
    capabilities: { isolation: place.isolation, adopt: true, resume: false, steer: false, pause: false, usage: true, files: true },
    probe: () => place.probe(),
    engineId: () => place.engineId(),
    start: (task, run) => start(options, task, run),
    resume: () => Promise.resolve(undefined),
    checkpoint: (handle, run) => dispose(options, handle, run),
    list: () => list(options),
    attach: (task, handle, run) => attach(options, task, handle, run),
    dispose: (handle, run) => dispose(options, handle, run),
    close: () => place.close(),
  }
}

async function list({ place, storage, mode }: OpencodeBackendOptions): Promise<Found[]> {
  const [engineId, found] = await Promise.all([place.engineId(), place.list()])
  return found.map(({ taskId, createdAt, data }) => ({
    taskId, createdAt, handle: { v: 1, mode, storage_id: storage.id, ...(engineId === undefined ? {} : { engine_id: engineId }), data: { ...data, task: taskId } },
  }))
}

async function start(options: OpencodeBackendOptions, task: Task, run: RunContext): Promise<Execution> {
  const { place, storage } = options
  const workspace = workspaceOf(storage, task.id)
  const launch = { task, claim: run.claim, deadlineAt: run.deadlineAt, workspace, log: run.log, signal: run.signal }
  const engineId = await place.engineId()
  const handleWith = (data: HandleData): Handle => ({ v: 1, mode: options.mode, storage_id: storage.id, ...(engineId === undefined ? {} : { engine_id: engineId }), data })

  let data: HandleData = { ...place.reserve(launch), task: task.id, profile: task.profile }
  await run.onHandle(handleWith(data))
  await prepareWorkspace(workspace, place.owner)
  run.signal.throwIfAborted()
  data = await place.start(launch, data)
  await run.onHandle(handleWith(data))
  const address = await place.address(data, workspace)
  if (address === undefined) throw new TaskFailure('backend_lost', 'the OpenCode server ended right after its start')
  const api = sessionApi(address, workspace.repo)
  await healthy(api, run.signal, () => place.autopsy(data))
  const stream = openStream(address, workspace.repo, run)
  try {
    await stream.connected
    const session = await api.create(task.title).catch((error: unknown) => Promise.reject(asCallFailure(error, 'create a session')))
    data = { ...data, session, ...promptIds(Date.now()) }
    const handle = handleWith(data)
    await run.onHandle(handle)
    run.signal.throwIfAborted()
    await prompt(api, data, task.prompt)
    return await execution(options, task, handle, run, { api, address, stream })
  } catch (error) {
    stream.close()
    throw error
  }
}

async function attach(options: OpencodeBackendOptions, task: Task, handle: Handle, run: RunContext): Promise<Execution | undefined> {
  const workspace = workspaceOf(options.storage, task.id)
  const { session } = Session.parse(handle.data)
  if (handle.storage_id !== options.storage.id) throw new TaskFailure('backend_unavailable', 'the workspace is on another storage than the one this worker has')
  const address = await options.place.address(handle.data, workspace)
  if (address === undefined || session === undefined) return undefined
  const api = sessionApi(address, workspace.repo)
  try {
    if (!(await api.exists(session))) return undefined
    // The predecessor died between storing the handle and prompting; the ids make a prompt that did arrive harmless.
    if ((await api.messages(session, 1)).length === 0 && !(await api.isBusy(session))) {
      await run.confirmClaim()
      await prompt(api, handle.data, task.prompt)
    }
  } catch (error) {
    throw asCallFailure(error, 'say how the session is')
  }
  return execution(options, task, handle, run, { api, address, stream: openStream(address, workspace.repo, run) })
}

interface Connection { api: SessionApi; address: ServerAddress; stream: Stream }

async function execution(options: OpencodeBackendOptions, task: Task, handle: Handle, run: RunContext, { api, address, stream }: Connection): Promise<Execution> {
  const workspace = workspaceOf(options.storage, task.id)
  const sessionId = Session.required({ session: true }).parse(handle.data).session
  const baseline = await baselineOf(workspace)
  if (baseline === undefined) throw new TaskFailure('storage_unavailable', `the workspace ${workspace.directory} has lost its baseline`)
  const files = createFileWatch(workspace, run.log)
  const live = createLiveText(sessionId)
  const clean = redactor(secretsOf(options.model, address.password))
  const mirror = createSessionMirror({
    api, sessionId, baseline, files, live: live.texts,
    position: positionOf(task, handle, baseline),
    clean,
    emit: (events, position) => run.emit(events, position),
  })
  const driver = createSessionDriver({ patience: options.patience ?? DEFAULT_PATIENCE, api, sessionId, mirror, live, run, scanDueInMs: files.dueInMs, autopsy: () => options.place.autopsy(handle.data) })
  stream.listen(driver)
  const outcome = driver.follow().then((end) => cleanOutcome(end, clean)).finally(() => stream.close())
  outcome.catch(() => {}) // whoever awaits it hears of it
  return { handle, outcome, result: () => mirror.result() }
}

/** Parts belong to one session: those of an earlier attempt say nothing about this one. The workspace is the task's. */
function positionOf(task: Task, handle: Handle, baseline: string): Position {
  const stored = parsePosition(task.position)
  if (stored !== undefined && task.handle?.data['session'] === handle.data['session']) return stored
  return { part: '', offset: null, tree: stored?.tree ?? baseline }
}

async function dispose({ place, storage }: OpencodeBackendOptions, handle: Handle, run: Pick<RunContext, 'log' | 'confirmClaim'>): Promise<void> {
  const { session } = Session.parse(handle.data)
  const workspace = workspaceOf(storage, z.string().parse(handle.data['task']))
  const address = await place.address(handle.data, workspace).catch((error: unknown) => {
    if (place.ownServer) return undefined
    throw error
  })
  if (address !== undefined) {
    const api = sessionApi(address, workspace.repo)
    if (!place.ownServer) await endSessions(api, run.confirmClaim)
    else if (session !== undefined) {
      await run.confirmClaim()
      // It only gets the chance to write down where it stopped: its store stays in the workspace, and a resumed task goes on from it.
      await api.abort(session, ABORT_OWN_TIMEOUT_MS).catch((error: unknown) => run.log.debug({ err: error }, 'the session did not abort; its server is ended anyway'))
    }
  }
  await run.confirmClaim()
  await place.remove(handle.data, run.log)
}

/** Ends what a task has on a shared server: the sessions of its directory, known to the handle or not. Abort before delete: a deleted session's tool goes on running. */
async function endSessions(api: SessionApi, confirmClaim: () => Promise<void>): Promise<void> {
  for (const session of await api.list()) {
    await confirmClaim()
    await quieten(api, session)
    await api.remove(session)
  }
}

/** Aborts until the session is idle for good. A prompt is taken before the session becomes busy: an abort in between changes nothing, and the run begins after it. */
async function quieten(api: SessionApi, session: string): Promise<void> {
  const began = performance.now()
  for (let wasBusy = false; ; await delay(100)) {
    await api.abort(session, ABORT_TIMEOUT_MS)
    const silentMs = performance.now() - began
    if (await api.isBusy(session)) wasBusy = true
    else if (wasBusy || silentMs > SWALLOWED_MS || (await api.messages(session, 1))[0]?.info.role === 'assistant') return
    if (silentMs > ABORT_TIMEOUT_MS) throw new Error(`session ${session} is still busy after its abort`)
  }
}

async function prompt(api: SessionApi, data: HandleData, text: string): Promise<void> {
  const { session, message, part } = Session.required().parse(data)
  await api.prompt(session, message, part, text).catch((error: unknown) => Promise.reject(asCallFailure(error, 'take the prompt')))
}

async function healthy(api: SessionApi, signal: AbortSignal, autopsy: () => Promise<Failure | undefined>): Promise<void> {
  const end = performance.now() + HEALTHY_TIMEOUT_MS
  for (;;) {
    try {
      return await api.health()
    } catch (error) {
      const status = statusOf(error)
      if (performance.now() > end || status === 401 || status === 403) throw asCallFailure(error, 'answer a health check')
      const failure = await autopsy()
      if (failure !== undefined) throw new TaskFailure(failure.code, `${failure.message} before it answered`, { cause: error })
    }
    await delay(100, undefined, { signal })
  }
}

interface Listener { hear(event: { type: string; properties: Record<string, unknown> }): void; connected(): void }
interface Stream { connected: Promise<void>; listen(listener: Listener): void; close(): void }

/** Opens the event stream at once; who listens later is told of the connection then. */
function openStream(address: ServerAddress, directory: string, run: RunContext): Stream {
  const closing = new AbortController()
  const first = Promise.withResolvers<void>()
  let listener: Listener | undefined
  void followStream({
    address, directory, log: run.log, signal: AbortSignal.any([run.signal, closing.signal]),
    onEvent: (event) => listener?.hear(event),
    onConnected: () => {
      first.resolve()
      listener?.connected()
    },
  })
  return {
    connected: Promise.race([first.promise, delay(STREAM_TIMEOUT_MS, undefined, { ref: false })]),
    listen: (who) => {
      listener = who
    },
    close: () => closing.abort(),
  }
}

/** Ids as OpenCode makes them, which it sorts by: 48 bits of milliseconds times 4096, then 14 characters of chance. */
function promptIds(now: number): { message: string; part: string } {
  const time = ((BigInt(now) * 4096n) & 0xffffffffffffn).toString(16).padStart(12, '0')
  const id = (): string => `${time}${randomBytes(7).toString('hex')}`
  return { message: `msg_${id()}`, part: `prt_${id()}` }
}

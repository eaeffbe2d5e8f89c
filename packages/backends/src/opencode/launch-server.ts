import { setTimeout as delay } from 'node:timers/promises'
import { type Failure, type Handle, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { openStream, type Stream } from '../drivers/opencode/open-stream.ts'
import { asCallFailure, type ServerAddress, type SessionApi, sessionApi, statusOf } from '../drivers/opencode/session-api.ts'
import type { HandleData } from '../places/server-place.ts'
import { mayKeep } from '../places/way-out.ts'
import { workspaceOf } from '../workspace/storage.ts'
import { prepareFor } from '../workspace/task-workspace.ts'
import { handleOf, layersFor, type OpencodeBackendOptions } from './options.ts'

/** A server that answers, and its stream. */
export interface Connection { api: SessionApi; address: ServerAddress; stream: Stream }

/** A server that was started for a task. `store` keeps more of its address. */
export interface Launched extends Connection {
  data: HandleData
  store(more: HandleData): Promise<Handle>
}

/** Seen: 1.2 to 2.8 s, and 40 s on a machine with eight times the work it can do. A server that ended meanwhile is not waited for. */
const HEALTHY_TIMEOUT_MS = 90_000
/** What is asked in the last 300 ms before a server listens is never answered: such a try must be short. What a loaded server answers takes longer, so that each try without an answer is followed by a longer one; a refused one says nothing. */
const FIRST_TRY_MS = 250
const LAST_TRY_MS = 2_000
const ASK_AGAIN_MS = 50

/**
 * Starts a server on the task's workspace, which is made if need be. Its address is stored before it starts, and again when it is
 * known more precisely (G7); `kept` goes with it each time: no crash in between loses it.
 */
export async function launchServer(options: OpencodeBackendOptions, task: Task, run: RunContext, kept: HandleData): Promise<Launched> {
  const { place, storage } = options
  mayKeep(options.egress, task)
  const workspace = workspaceOf(storage, task.id)
  const launch = { task, claim: run.claim, deadlineAt: run.deadlineAt, permissions: layersFor(options, task), workspace, log: run.log, signal: run.signal, confirmClaim: run.confirmClaim }
  const engineId = await place.engineId()
  let data: HandleData = { ...place.reserve(launch), ...kept, task: task.id, profile: task.profile }
  const store = async (more: HandleData): Promise<Handle> => {
    data = { ...data, ...more }
    const handle = handleOf(options, engineId, data)
    await run.onHandle(handle)
    return handle
  }
  await store({})
  await prepareFor(options, task, run, place.owner)
  run.signal.throwIfAborted()
  await store(await place.start(launch, data))
  const address = await place.address(data, workspace)
  if (address === undefined) throw new TaskFailure('backend_lost', 'the OpenCode server ended right after its start')
  const api = sessionApi(address, workspace.repo)
  await healthy(api, run.signal, () => place.autopsy(data))
  const stream = openStream(address, workspace.repo, run)
  await stream.connected
  return { api, address, stream, data, store }
}

async function healthy(api: SessionApi, signal: AbortSignal, autopsy: () => Promise<Failure | undefined>): Promise<void> {
  const end = performance.now() + HEALTHY_TIMEOUT_MS
  for (let tryMs = FIRST_TRY_MS; ;) {
    const asked = performance.now()
    try {
      return await api.health(tryMs)
    } catch (error) {
      const status = statusOf(error)
      if (performance.now() > end || status === 401 || status === 403) throw asCallFailure(error, 'answer a health check')
      const failure = await autopsy()
      if (failure !== undefined) throw new TaskFailure(failure.code, `${failure.message} before it answered`, { cause: error })
    }
    if (performance.now() - asked >= tryMs) tryMs = Math.min(tryMs * 2, LAST_TRY_MS)
    await delay(ASK_AGAIN_MS, undefined, { signal })
  }
}

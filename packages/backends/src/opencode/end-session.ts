import { setTimeout as delay } from 'node:timers/promises'
import { type Handle, type RunContext, TaskId } from '@longshore/contracts'
import { answers } from '../drivers/opencode/prompt.ts'
import { asCallFailure, type SessionApi, sessionApi } from '../drivers/opencode/session-api.ts'
import { workspaceOf } from '../workspace/storage.ts'
import { type OpencodeBackendOptions, sessionOf, toldOf } from './options.ts'

/** On a shared server: seen 20 to 280 ms, and more under load. */
const ABORT_TIMEOUT_MS = 15_000
/** Between a prompt and the session's becoming busy 1.1 s was seen; a prompt that shows nothing for longer than this was never taken. */
const SWALLOWED_MS = 5_000
/** A server that is ended anyway only gets the chance to write down where it stopped. */
const ABORT_OWN_TIMEOUT_MS = 1_000

/**
 * Ends what runs for a task: its server, or on a shared one its sessions. The store of its own server stays in the workspace
 * either way; on a shared server only `keep session` leaves what `resume` needs.
 */
export async function endExecution({ place, storage }: OpencodeBackendOptions, handle: Handle, run: Pick<RunContext, 'log' | 'confirmClaim'>, what: 'keep session' | 'leave nothing'): Promise<void> {
  const workspace = workspaceOf(storage, TaskId.parse(handle.data['task']))
  const address = await place.address(handle.data, workspace).catch((error: unknown) => {
    if (place.ownServer) return undefined
    throw error
  })
  if (address !== undefined) {
    const api = sessionApi(address, workspace.repo)
    if (place.ownServer) await abortOwn(api, handle, run)
    else await endSessions(api, handle, run.confirmClaim, what)
  }
  await run.confirmClaim()
  await place.remove(handle.data, run.log)
}

async function abortOwn(api: SessionApi, handle: Handle, run: Pick<RunContext, 'log' | 'confirmClaim'>): Promise<void> {
  const session = sessionOf(handle)
  if (session === undefined) return
  await run.confirmClaim()
  await api.abort(session.session, ABORT_OWN_TIMEOUT_MS).catch((error: unknown) => run.log.debug({ err: error }, 'the session did not abort; its server is ended anyway'))
}

/** The sessions of the task's directory, known to the handle or not. Abort before delete: a deleted session's tool goes on running. */
async function endSessions(api: SessionApi, handle: Handle, confirmClaim: () => Promise<void>, what: 'keep session' | 'leave nothing'): Promise<void> {
  const own = sessionOf(handle)
  const told = toldOf(handle)?.message ?? ''
  const newest = own !== undefined && own.message > told ? own.message : told
  for (const session of await api.list().catch(refuse)) {
    await quieten(api, session, session === own?.session ? newest : '', confirmClaim)
    if (what === 'keep session') continue
    await confirmClaim()
    await api.remove(session).catch(refuse)
  }
  await dismissAsks(api, confirmClaim)
}

/** What stopped sessions asked stays listed on a shared server: whoever went on would wait for it, and give it an answer that reaches nobody. All of this directory have stopped. */
async function dismissAsks(api: SessionApi, confirmClaim: () => Promise<void>): Promise<void> {
  const { permissions, questions } = await api.asks().catch(refuse)
  for (const { id } of permissions) {
    await confirmClaim()
    await api.refuse(id, 'The session was stopped.').catch(refuse)
  }
  for (const { id, questions: each } of questions) {
    await confirmClaim()
    await api.answerQuestion(id, each.map(() => [])).catch(refuse)
  }
}

function refuse(error: unknown): never {
  throw asCallFailure(error, 'end the session')
}

/** Aborts until the session is idle for good. A prompt is taken before the session becomes busy: an abort in between changes nothing, and the run begins after it. `prompt`: the newest that may be on its way. */
async function quieten(api: SessionApi, session: string, prompt: string, confirmClaim: () => Promise<void>): Promise<void> {
  const began = performance.now()
  for (let wasBusy = false; ; await delay(100)) {
    await confirmClaim() // each time: a successor may have prompted the session since the last
    await api.abort(session, ABORT_TIMEOUT_MS).catch(refuse)
    const silentMs = performance.now() - began
    if (await api.isBusy(session).catch(refuse)) wasBusy = true
    else if (wasBusy || silentMs > SWALLOWED_MS) return
    else if ((await api.messages(session, 1).catch(refuse)).some((last) => answers(last, prompt))) return
    if (silentMs > ABORT_TIMEOUT_MS) refuse(new Error(`session ${session} is still busy after its abort`))
  }
}

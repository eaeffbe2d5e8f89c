import type { Execution, Handle, RunContext, Task } from '@longshore/contracts'
import { nextPromptIds, sendPrompt } from '../drivers/opencode/prompt.ts'
import { asCallFailure, type SessionApi } from '../drivers/opencode/session-api.ts'
import type { Told } from '../drivers/opencode/steer.ts'
import { baselineOf } from '../workspace/prepare.ts'
import { workspaceOf } from '../workspace/storage.ts'
import { endExecution } from './end-session.ts'
import { follow } from './execution.ts'
import { launchServer } from './launch-server.ts'
import { mailData, type OpencodeBackendOptions, type SessionAddress, sessionOf, toldOf } from './options.ts'

// G7: the session's store is in the workspace (on a remote server: there), so a new server goes on where the old one stopped.
// Two executions on one workspace must never be: what may be left of the earlier one is ended first.

/** Goes on with the session of an execution that is over, or that is ended here. */
export async function resumeSession(options: OpencodeBackendOptions, task: Task, handle: Handle, run: RunContext, note: string): Promise<Execution | undefined> {
  if (handle.storage_id !== options.storage.id) return undefined
  await endEarlier(options, handle, run)
  const session = sessionOf(handle)
  const told = toldOf(handle)
  if (session === undefined || (await baselineOf(workspaceOf(options.storage, task.id))) === undefined) return undefined
  const server = await launchServer(options, task, run, { ...session, ...mailData(told) })
  try {
    const prompt = await nextPrompt(server.api, session, told, task, note)
    if (prompt === undefined) {
      server.stream.close()
      if (options.place.ownServer) await options.place.remove(server.data, run.log)
      return undefined
    }
    const next = await server.store({ ...prompt.address, ...mailData(prompt.told) }) // before the prompt: whoever comes after a crash here sends it, once
    run.signal.throwIfAborted()
    await run.confirmClaim()
    await sendPrompt(server.api, prompt.address, prompt.text)
    return await follow(options, task, next, run, server, 'resumed')
  } catch (error) {
    server.stream.close()
    throw error
  }
}

/** Where the engine is another one, its executions are out of reach: whoever gave the task to us knows that nobody is there, and they end at their deadline. */
async function endEarlier(options: OpencodeBackendOptions, handle: Handle, run: RunContext): Promise<void> {
  const engineId = await options.place.engineId()
  if (handle.engine_id === engineId) return endExecution(options, handle, run, 'keep session')
  run.log.warn({ engineId: handle.engine_id }, 'the earlier execution is on an engine that is out of reach; it is not ended here')
}

interface NextPrompt { address: SessionAddress; text: string; told: Told | undefined }

/**
 * What the session is to hear next; undefined: it is not there. A prompt whose ids were stored but which never arrived keeps them.
 * What somebody was about to tell and did not arrive is forgotten: told again, it comes behind the note and needs ids that say so.
 */
async function nextPrompt(api: SessionApi, stored: SessionAddress, told: Told | undefined, { prompt }: Task, note: string): Promise<NextPrompt | undefined> {
  try {
    if (!(await api.exists(stored.session))) return undefined
    const messages = await api.messages(stored.session)
    const isSent = await api.has(stored.session, stored.message)
    const hasTold = messages.some(({ info }) => info.id === told?.message)
    return { told: hasTold ? told : undefined, address: isSent ? { ...stored, ...nextPromptIds(messages) } : stored, text: messages.length === 0 ? prompt : note }
  } catch (error) {
    throw asCallFailure(error, 'say how the session is')
  }
}

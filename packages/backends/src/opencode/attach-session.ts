import { type Execution, type Handle, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { openStream } from '../drivers/opencode/open-stream.ts'
import { sendPrompt } from '../drivers/opencode/prompt.ts'
import { asCallFailure, type SessionApi, sessionApi } from '../drivers/opencode/session-api.ts'
import { workspaceOf } from '../workspace/storage.ts'
import { follow } from './execution.ts'
import { type OpencodeBackendOptions, type SessionAddress, sessionOf } from './options.ts'

/** Goes on with a session that runs, or that ended while nobody looked. */
export async function attachSession(options: OpencodeBackendOptions, task: Task, handle: Handle, run: RunContext): Promise<Execution | undefined> {
  const workspace = workspaceOf(options.storage, task.id)
  const session = sessionOf(handle)
  if (handle.storage_id !== options.storage.id) throw new TaskFailure('backend_unavailable', 'the workspace is on another storage than the one this worker has')
  const address = await options.place.address(handle.data, workspace)
  if (address === undefined || session === undefined) return undefined
  const api = sessionApi(address, workspace.repo)
  const state = await stateOf(api, session).catch((error: unknown) => Promise.reject(asCallFailure(error, 'say how the session is')))
  if (state === 'gone') return undefined
  if (state === 'unprompted') {
    await run.confirmClaim()
    await sendPrompt(api, session, task.prompt)
  }
  return follow(options, task, handle, run, { api, address, stream: openStream(address, workspace.repo, run) }, 'adopted')
}

/** `unprompted`: the predecessor died between storing the handle and prompting; the ids make a prompt that did arrive harmless. What a resume that died there had to say, only `resume` knows: its session is as good as gone. */
async function stateOf(api: SessionApi, { session, message }: SessionAddress): Promise<'gone' | 'unprompted' | 'prompted'> {
  if (!(await api.exists(session))) return 'gone'
  if ((await api.has(session, message)) || (await api.isBusy(session))) return 'prompted'
  return (await api.messages(session, 1)).length === 0 ? 'unprompted' : 'gone'
}

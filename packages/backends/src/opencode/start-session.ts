import type { Execution, RunContext, Task } from '@longshore/contracts'
import { firstPromptIds, sendPrompt } from '../drivers/opencode/prompt.ts'
import { sessionRules } from '../drivers/opencode/server-settings.ts'
import { asCallFailure } from '../drivers/opencode/session-api.ts'
import { follow } from './execution.ts'
import { launchServer } from './launch-server.ts'
import { layersFor, type OpencodeBackendOptions } from './options.ts'

/** A server and a session of its own for the task, and its prompt. */
export async function startSession(options: OpencodeBackendOptions, task: Task, run: RunContext): Promise<Execution> {
  const server = await launchServer(options, task, run, {})
  try {
    const { id, createdAt } = await server.api.create(task.title, options.place.ownServer ? [] : sessionRules(layersFor(options, task))).catch((error: unknown) => Promise.reject(asCallFailure(error, 'create a session')))
    const address = { session: id, ...firstPromptIds(createdAt) }
    const handle = await server.store(address)
    run.signal.throwIfAborted()
    await sendPrompt(server.api, address, task.prompt)
    return await follow(options, task, handle, run, server, 'fresh')
  } catch (error) {
    server.stream.close()
    throw error
  }
}

import { type LongshoreError } from '@longshore/contracts'
import { ProtocolError, ProtocolErrorCode, type Resource, ResourceNotFoundError, type Server } from '@modelcontextprotocol/server'

import type { CallOperation } from './call-operation.ts'
import type { Call, Operation } from './operations/operation.ts'
import { TASK_URI_TEMPLATE, taskIdOf, taskUri } from './watching/task-uri.ts'

const MIME = 'application/json'
const PAGE = 50

export interface ResourceDeps { byName: ReadonlyMap<string, Operation>; callOperation: CallOperation }

/** Tasks as resources: what `get_task_status` answers, under `task://{id}`. The operations decide who sees what (G11). */
export function serveResources(server: Server, call: Call, { byName, callOperation }: ResourceDeps): void {
  const ask = async (name: string, input: object) => {
    const operation = byName.get(name)
    if (operation === undefined) throw new Error(`there is no operation ${name}`)
    return callOperation(operation, input, call)
  }
  server.setRequestHandler('resources/templates/list', () => ({
    resourceTemplates: [{ uriTemplate: TASK_URI_TEMPLATE, name: 'task', title: 'Task', description: 'How a task stands, with its last events: what get_task_status answers. Subscribe to be told when something happens.', mimeType: MIME }],
  }))
  server.setRequestHandler('resources/list', async ({ params }) => {
    const offset = offsetOf(params?.cursor)
    const answer = await ask('list_tasks', { limit: PAGE, offset })
    if (!answer.ok) throw new ProtocolError(ProtocolErrorCode.InternalError, answer.body.error.message)
    const { tasks } = answer.value as { tasks: { task_id: string; title: string; status: string }[] }
    return { resources: tasks.map(toResource), ...(tasks.length === PAGE ? { nextCursor: String(offset + PAGE) } : {}) }
  })
  server.setRequestHandler('resources/read', async ({ params: { uri } }) => {
    const task_id = taskIdOf(uri)
    if (task_id === undefined) throw new ResourceNotFoundError(uri)
    const answer = await ask('get_task_status', { task_id })
    if (!answer.ok) throw answer.body.error.code === 'task_not_found' ? new ResourceNotFoundError(uri) : toProtocolError(answer.body.error)
    return { contents: [{ uri, mimeType: MIME, text: JSON.stringify(answer.value) }] }
  })
}

function toResource({ task_id, title, status }: { task_id: string; title: string; status: string }): Resource {
  return { uri: taskUri(task_id), name: task_id, title, description: status, mimeType: MIME }
}

/** @throws ProtocolError */
function offsetOf(cursor: string | undefined): number {
  if (cursor === undefined) return 0
  if (!/^\d{1,9}$/.test(cursor)) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'cursor is not one that this server gave out; leave it out to begin at the newest task')
  return Number(cursor)
}

function toProtocolError({ code, message }: Pick<LongshoreError, 'code' | 'message'>): ProtocolError {
  return new ProtocolError(ProtocolErrorCode.InternalError, `${message} (${code})`)
}

import { type Log, LongshoreError } from '@longshore/contracts'
import { type CallToolResult, createMcpHandler, isLegacyRequest, ProtocolError, ProtocolErrorCode, Server, type ServerContext } from '@modelcontextprotocol/server'
import type { Answer, CallOperation } from './call-operation.ts'
import { describeError } from './door-error.ts'
import type { Call, Operation } from './operations/operation.ts'
import { serveResources } from './mcp-resources.ts'
import { openLive } from './replying.ts'
import { toolList } from './tool-list.ts'
import { createListenStreams, type Line } from './watching/mcp-listen.ts'
import type { OldClients } from './watching/old-clients.ts'
import type { LiveDeps } from './watching/serve-live.ts'

export interface McpDoor {
  /** Serves one HTTP request that is authorised already, with its body read and parsed. */
  serve(request: Request, body: unknown, call: Call, line: Line): Promise<Response>
  close(): Promise<void>
}

const INSTRUCTIONS = `Longshore runs coding tasks in the background. Submit one with opencode_execute_task and keep its task_id; \
get_task_status tells how it stands and, once it is over, its output; get_task_history shows what happened; send_task_message tells the agent something while it works; send_task_control cancels, pauses and resumes; \
get_task_files, read_task_file and get_task_diff show its work, get_task_output all that it put out, also while it goes on and after its end. \
search_tasks finds earlier tasks, export_task gives one as a file. \
Give an idempotency_key when you may have to repeat a submit. Errors are JSON: {"error":{"code","message","next"}}.`

/** How long clients of the 2026-07-28 revision may keep the tool list (ms); it depends on the key, and changes with a new version of the gateway. */
const TOOL_LIST_TTL_MS = 60_000

/**
 * The operations as MCP tools: both protocol eras from one endpoint, nothing kept between requests, so any replica serves
 * any request. The low-level server with a list made once is the cheap way: a server per request costs some 0.1 ms.
 */
export function createMcpDoor(options: { operations: readonly Operation[]; callOperation: CallOperation; live: LiveDeps; oldClients: OldClients; heartbeatMs: number; maxStreams: number; version: string; log: Log }): McpDoor {
  const byName = new Map(options.operations.filter((operation) => operation.isTool).map((operation) => [operation.name, operation]))
  const all = new Map(options.operations.map((operation) => [operation.name, operation]))
  const streams = createListenStreams(options.live)
  const tools = toolList(options.operations)
  const toolsFor = ({ scopes }: Call['caller']) => tools.filter(({ scope }) => scopes.includes(scope)).map(({ tool }) => tool)
  const identity = { name: 'longshore', title: 'Longshore', version: options.version }
  const handler = createMcpHandler(({ authInfo }) => {
    const call = authInfo?.extra?.['call'] as Call
    const server = new Server(identity, {
      capabilities: { tools: {}, resources: { subscribe: true } }, instructions: INSTRUCTIONS, cacheHints: { 'tools/list': { ttlMs: TOOL_LIST_TTL_MS, cacheScope: 'private' } },
    })
    server.setRequestHandler('tools/list', () => ({ tools: toolsFor(call.caller) }))
    serveResources(server, call, { byName: all, callOperation: options.callOperation })
    server.setRequestHandler('tools/call', async ({ params }, context) => {
      const operation = byName.get(params.name) ?? unknownTool(params.name, [...byName.keys()])
      return toResult(await options.callOperation(operation, params.arguments, { ...call, ...progressOf(context) }))
    })
    return server
  }, {
    legacy: 'stateless',
    bus: streams.bus,
    keepAliveMs: options.heartbeatMs,
    maxSubscriptions: options.maxStreams,
    // What clients send wrong is their affair: readable in their answer, here only for who debugs.
    onerror: (error) => options.log.debug({ err: describeError(error) }, 'an MCP request was refused'),
  })
  const followable = async (taskId: string, call: Call) => {
    const operation = all.get('watch_task') ?? unknownTool('watch_task', [])
    const { live, answer } = await openLive(options.callOperation, operation, { task_id: taskId, cursor: 'now' }, call)
    if (answer.ok || answer.status === 404 || answer.status === 400) return live
    throw new LongshoreError(answer.body.error.code, answer.body.error.message)
  }
  return {
    serve: async (request, body, call, line) => {
      const pass = (served: unknown) => handler.fetch(request, {
        authInfo: { token: '', clientId: call.caller.keyId, scopes: [...call.caller.scopes], extra: { call } },
        ...(served === undefined ? {} : { parsedBody: served }),
      })
      const open = (taskId: string) => followable(taskId, call)
      if (await isLegacyRequest(request, body)) return options.oldClients.serve(request, body, call, line, open, () => pass(body))
      return streams.serve(body, call, line, open, pass)
    },
    close: () => handler.close(),
  }
}

/**
 * The same JSON as structure and as text. A refusal stands in the text alone: 1.x clients hold any `structuredContent`
 * against the tool's output schema, also that of an error.
 */
function toResult(answer: Answer): CallToolResult {
  const text = JSON.stringify(answer.ok ? answer.value : answer.body)
  const content = [{ type: 'text' as const, text }]
  return answer.ok ? { content, structuredContent: { ...answer.value } } : { content, isError: true }
}

/** Who asked to be told of progress is, while a call waits. */
function progressOf({ mcpReq }: ServerContext): Pick<Call, 'progress'> {
  const { _meta: meta } = mcpReq
  const token = meta?.progressToken
  if (token === undefined) return {}
  return {
    progress: (done, message) => {
      // Whoever is gone needs not be told.
      mcpReq.notify({ method: 'notifications/progress', params: { progressToken: token, progress: done, message } }).catch(() => undefined)
    },
  }
}

function unknownTool(name: string, known: readonly string[]): never {
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, `unknown tool ${JSON.stringify(name.slice(0, 80))}; the tools are ${known.join(', ')}`)
}

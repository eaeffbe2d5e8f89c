import { isOver } from '@longshore/contracts'
import { Client as NewClient, StreamableHTTPClientTransport as NewTransport } from '@modelcontextprotocol/client'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { waitFor } from '@longshore/testkit'
import { z } from 'zod'
import { HistoryAnswer, type HistoryEvent, PATIENCE_MS, SubmitAnswer, TaskAnswer } from './agent.ts'

/** The clients in use: the maintained 1.x SDK, and 2.x in both protocol eras. */
export const CLIENTS = ['a 1.x client', 'a 2.x client in the legacy era', 'a 2.x client in the 2026-07-28 era'] as const
export type ClientKind = (typeof CLIENTS)[number]

/** An agent that knows only MCP: each call through a connection of its own to the next gateway, as behind round robin. */
export interface McpAgent {
  call(tool: string, input?: Record<string, unknown>): Promise<Record<string, unknown>>
  submit(task_description: string, more?: Record<string, unknown>): Promise<SubmitAnswer>
  /** @throws Error when it ends otherwise, or after `timeoutMs` */
  untilCompleted(taskId: string, timeoutMs?: number): Promise<TaskAnswer>
  events(taskId: string): Promise<HistoryEvent[]>
}

export function createMcpAgent(kind: ClientKind, nextUrl: () => string, key: string): McpAgent {
  const call: McpAgent['call'] = (tool, input = {}) => callTool(kind, nextUrl(), key, tool, input)
  const status = async (task_id: string): Promise<TaskAnswer> => TaskAnswer.parse(await call('get_task_status', { task_id }))
  return {
    call,
    submit: async (task_description, more = {}) => SubmitAnswer.parse(await call('opencode_execute_task', { task_description, ...more })),
    events: async (task_id) => HistoryAnswer.parse(await call('get_task_history', { task_id, events_limit: -1 })).events,
    async untilCompleted(id, timeoutMs = PATIENCE_MS) {
      const task = await waitFor(async () => {
        const now = await status(id)
        return isOver(now.status) ? now : undefined
      }, { what: `${id} to be over`, timeoutMs, everyMs: 250 })
      if (task.status !== 'completed') throw new Error(`${id} was to be completed and is ${JSON.stringify(task)}`)
      return task
    },
  }
}

const ToolResult = z.object({ isError: z.boolean().optional(), structuredContent: z.record(z.string(), z.unknown()).optional(), content: z.array(z.object({ type: z.literal('text'), text: z.string() })).min(1) })

async function callTool(kind: ClientKind, base: string, key: string, name: string, input: Record<string, unknown>): Promise<Record<string, unknown>> {
  const client = await connect(kind, base, key)
  try {
    const result = ToolResult.parse(await client.callTool({ name, arguments: input }))
    if (result.isError === true || result.structuredContent === undefined) throw new Error(`${name} was refused: ${result.content[0]?.text}`)
    return result.structuredContent
  } finally {
    await client.close()
  }
}

interface Connected { callTool(params: { name: string; arguments: Record<string, unknown> }): Promise<unknown>; close(): Promise<void> }

async function connect(kind: ClientKind, base: string, key: string): Promise<Connected> {
  const url = new URL('/mcp', base)
  const options = { requestInit: { headers: { authorization: `Bearer ${key}` } } }
  const identity = { name: 'longshore-e2e', version: '1.0.0' }
  if (kind === 'a 1.x client') {
    const client = new OldClient(identity)
    await client.connect(new OldTransport(url, options))
    return client
  }
  const client = new NewClient(identity, { versionNegotiation: { mode: kind === 'a 2.x client in the legacy era' ? 'legacy' : { pin: '2026-07-28' } } })
  await client.connect(new NewTransport(url, options))
  return client
}

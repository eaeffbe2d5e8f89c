import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { z } from 'zod'

/** What the tests need of a real client, whichever SDK and protocol era it speaks. */
export interface TestClient {
  listTools(): Promise<{ tools: { name: string; [key: string]: unknown }[] }>
  callTool(params: { name: string; arguments?: Record<string, unknown> }): Promise<unknown>
  close(): Promise<void>
}

export const CLIENT_KINDS = ['1.x client', '2.x client, legacy era', '2.x client, 2026-07-28 era'] as const
export type ClientKind = (typeof CLIENT_KINDS)[number]

export async function connectClient(kind: ClientKind, base: string, key: string, headers: Record<string, string> = {}): Promise<TestClient> {
  const url = new URL('/mcp', base)
  const requestInit = { headers: { authorization: `Bearer ${key}`, ...headers } }
  const identity = { name: 'longshore-test', version: '1.0.0' }
  if (kind === '1.x client') {
    const client = new OldClient(identity)
    await client.connect(new OldTransport(url, { requestInit }))
    return client
  }
  const client = new ModernClient(identity, { versionNegotiation: { mode: kind === '2.x client, legacy era' ? 'legacy' : { pin: '2026-07-28' } } })
  await client.connect(new ModernTransport(url, { requestInit }))
  return client
}

const ToolResult = z.object({
  isError: z.boolean().optional(),
  structuredContent: z.record(z.string(), z.unknown()).optional(),
  content: z.array(z.object({ type: z.literal('text'), text: z.string() })).length(1),
})

/** Calls a tool that must succeed; the text must say the same as the structure. */
export async function callOk(client: TestClient, name: string, args?: Record<string, unknown>): Promise<Record<string, unknown>> {
  const result = ToolResult.parse(await client.callTool({ name, ...(args === undefined ? {} : { arguments: args }) }))
  const said: unknown = JSON.parse(result.content[0]?.text ?? '')
  if (result.isError === true) throw new Error(`${name} refused: ${JSON.stringify(said)}`)
  if (JSON.stringify(said) !== JSON.stringify(result.structuredContent)) throw new Error('text and structuredContent differ')
  return result.structuredContent ?? {}
}

export interface Refusal { code: string; message: string; next?: string | undefined; field?: string | undefined }

/** Calls a tool that must refuse. */
export async function callRefused(client: TestClient, name: string, args?: Record<string, unknown>): Promise<Refusal> {
  const result = ToolResult.parse(await client.callTool({ name, ...(args === undefined ? {} : { arguments: args }) }))
  if (result.isError !== true) throw new Error(`${name} was not refused: ${result.content[0]?.text}`)
  return z.object({ error: z.object({ code: z.string(), message: z.string(), next: z.string().optional(), field: z.string().optional() }) }).parse(JSON.parse(result.content[0]?.text ?? '')).error
}

import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ScriptedBlock { id: string; label: string; value: string; limit: number; description: string | null }
export interface ScriptedMessage { id: string; date: string; message_type: 'system_message' | 'user_message' | 'assistant_message'; content: string }
interface Agent { id: string; blocks: Set<string>; messages: ScriptedMessage[] }
interface Call { method: string; path: string; status: number }

/** What becomes of a call; undefined: what the API would do. `after`: it is done, and the answer is lost or an error. */
type Fault = { status: number; headers?: Record<string, string>; after?: true } | { drop: 'before' | 'after' } | undefined

/**
 * A scripted Letta, no real one: the blocks, core memory and messages of its published API, as far as the notifier uses them, with
 * the refusals that the schema names: 401 without the token, 404 for what is unknown, 409 for a label that an agent has already,
 * 422 for a value over a block's limit. Its agents answer nothing of their own.
 */
export interface ScriptedLetta {
  url: string
  token: string
  blocks: Map<string, ScriptedBlock>
  calls: Call[]
  fault: (method: string, path: string) => Fault
  /** A new agent. @returns its id */
  agent(): string
  attachedTo(agentId: string): ScriptedBlock[]
  /** Oldest first. */
  messages(agentId: string): ScriptedMessage[]
  stop(): Promise<void>
}

interface Answer { status: number; body: unknown; headers?: Record<string, string> }
const fine = (body: unknown): Answer => ({ status: 200, body })
const refuse = (status: number, detail: string): Answer => ({ status, body: { detail } })

export async function startScriptedLetta(): Promise<ScriptedLetta> {
  const agents = new Map<string, Agent>()
  const letta: Omit<ScriptedLetta, 'url'> = {
    token: `scripted-${randomUUID()}`,
    blocks: new Map(),
    calls: [],
    fault: () => undefined,
    agent: () => {
      const id = `agent-${randomUUID()}`
      agents.set(id, { id, blocks: new Set(), messages: [] })
      return id
    },
    attachedTo: (agentId) => [...letta.blocks.values()].filter(({ id }) => agents.get(agentId)?.blocks.has(id)),
    messages: (agentId) => agents.get(agentId)?.messages ?? [],
    stop: () => new Promise((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  }
  const handle = async (request: IncomingMessage): Promise<Answer | 'drop'> => {
    const text = Buffer.concat(await request.toArray() as Buffer[]).toString()
    const url = new URL(request.url ?? '/', 'http://letta')
    const method = request.method ?? ''
    const fault = letta.fault(method, url.pathname)
    if (fault !== undefined && 'drop' in fault && fault.drop === 'before') return 'drop'
    if (fault !== undefined && 'status' in fault && fault.after === undefined) return { status: fault.status, body: { detail: 'scripted' }, ...(fault.headers === undefined ? {} : { headers: fault.headers }) }
    if (request.headers.authorization !== `Bearer ${letta.token}`) return refuse(401, 'Unauthorized')
    const answer = serve({ letta, agents }, method, url, text === '' ? {} : JSON.parse(text) as Record<string, unknown>)
    if (fault === undefined) return answer
    return 'drop' in fault ? 'drop' : { ...answer, status: fault.status }
  }
  const server = createServer((request, response) => void handle(request).then((answer) => {
    if (answer === 'drop') return request.socket.destroy()
    letta.calls.push({ method: request.method ?? '', path: request.url ?? '', status: answer.status })
    return response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(JSON.stringify(answer.body))
  }, () => request.socket.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(letta, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

interface World { letta: Pick<ScriptedLetta, 'blocks'>; agents: Map<string, Agent> }

function serve(world: World, method: string, { pathname, searchParams }: URL, body: Record<string, unknown>): Answer {
  const [, block] = /^\/v1\/blocks\/([^/]+)$/.exec(pathname) ?? []
  if (pathname === '/v1/blocks/') return method === 'POST' ? createBlock(world, body) : fine([...world.letta.blocks.values()].filter(({ label }) => label === (searchParams.get('label') ?? label)).slice(0, Number(searchParams.get('limit') ?? 50)))
  if (block !== undefined) return method === 'PATCH' ? writeBlock(world, block, body) : oneBlock(world, block)
  const [, id = '', rest = ''] = /^\/v1\/agents\/([^/]+)\/(.*)$/.exec(pathname) ?? []
  const agent = world.agents.get(id)
  if (agent === undefined) return refuse(404, `Agent with ID ${id} not found`)
  const [, change, what = ''] = /^core-memory\/blocks\/(attach|detach)\/(.+)$/.exec(rest) ?? []
  if (change !== undefined) return change === 'attach' ? attach(world, agent, what) : detach(agent, what)
  if (rest === 'core-memory/blocks') return fine(searchParams.has('after') ? [] : [...world.letta.blocks.values()].filter(({ id: one }) => agent.blocks.has(one)))
  if (rest === 'messages') return method === 'POST' ? take(agent, body) : list(agent, searchParams)
  return refuse(404, 'Not Found')
}

/** Python counts code points. */
const lengthOf = (text: string): number => Array.from(text).length
const tooLong = (value: string, limit: number): Answer => refuse(422, `Value error, Edit failed: Exceeds ${limit} character limit (requested ${lengthOf(value)})`)

function createBlock({ letta }: World, body: Record<string, unknown>): Answer {
  const { label, value, limit = 20_000, description = null } = body as { label?: string; value?: string; limit?: number; description?: string | null }
  if (typeof label !== 'string' || typeof value !== 'string') return refuse(422, 'label and value are required')
  if (lengthOf(value) > limit) return tooLong(value, limit)
  const block = { id: `block-${randomUUID()}`, label, value, limit, description }
  letta.blocks.set(block.id, block)
  return fine(block)
}

function writeBlock({ letta }: World, id: string, { value, limit }: { value?: string; limit?: number }): Answer {
  const block = letta.blocks.get(id)
  if (block === undefined) return refuse(404, `Block with ID ${id} not found`)
  const next = { ...block, value: value ?? block.value, limit: limit ?? block.limit }
  if (lengthOf(next.value) > next.limit) return tooLong(next.value, next.limit)
  letta.blocks.set(id, next)
  return fine(next)
}

function oneBlock({ letta }: World, id: string): Answer {
  const block = letta.blocks.get(id)
  return block === undefined ? refuse(404, `Block with ID ${id} not found`) : fine(block)
}

function attach({ letta }: World, agent: Agent, id: string): Answer {
  const block = letta.blocks.get(id)
  if (block === undefined) return refuse(404, `Block with ID ${id} not found`)
  const isTaken = [...agent.blocks].some((one) => letta.blocks.get(one)?.label === block.label)
  if (isTaken) return refuse(409, `Agent ${agent.id} has a block with the label ${block.label} already`)
  agent.blocks.add(id)
  return fine({ id: agent.id })
}

function detach(agent: Agent, id: string): Answer {
  return agent.blocks.delete(id) ? fine({ id: agent.id }) : refuse(404, `Block ${id} is not attached to agent ${agent.id}`)
}

function take(agent: Agent, body: Record<string, unknown>): Answer {
  const messages = body['messages'] as { role?: string; content?: string }[] | undefined
  if (messages === undefined || messages.some(({ role, content }) => (role !== 'system' && role !== 'user') || typeof content !== 'string')) return refuse(422, 'messages: Field required')
  const say = (message_type: ScriptedMessage['message_type'], content: string) => agent.messages.push({ id: `message-${randomUUID()}`, date: new Date().toISOString(), message_type, content })
  for (const { role, content = '' } of messages) say(role === 'system' ? 'system_message' : 'user_message', content)
  say('assistant_message', 'Scripted: I have read it.')
  return fine({ messages: agent.messages.slice(-1), stop_reason: { message_type: 'stop_reason', stop_reason: 'end_turn' }, usage: { message_type: 'usage_statistics' } })
}

/** `order=desc` with `after`: what is older than that message. */
function list(agent: Agent, params: URLSearchParams): Answer {
  const ordered = params.get('order') === 'asc' ? agent.messages : agent.messages.toReversed()
  const start = params.has('after') ? ordered.findIndex(({ id }) => id === params.get('after')) + 1 : 0
  return fine(ordered.slice(start, start + Number(params.get('limit') ?? 100)))
}

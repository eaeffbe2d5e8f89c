import { client, type ClientConnection, type ClientContext, type InitializeResponse, methods, PROTOCOL_VERSION, type Stream } from '@agentclientprotocol/sdk'
import { TaskFailure } from '@longshore/contracts'
import { z } from 'zod'
import { clip } from '../../text.ts'
import type { Asks } from './asks.ts'
import { failureOfRefusal } from './ending.ts'

/** It is stored in the task's handle. */
const SessionId = z.string().min(1).max(500)

/** What is to be said to an agent. An adopter says the same as its predecessor. */
export interface Plan {
  /** Where it works; absolute. */
  cwd: string
  /** undefined: somebody else has told the agent what to do, or has not, and then nobody knows what it was. */
  prompt: string | undefined
  /** A session of an earlier execution to go on with. */
  session?: string
  /** One of the agent's ways to log in. */
  authMethod?: string
  /** One of the models that it offers. */
  model?: string
  /** Called, and awaited, before the prompt is sent. `isKept`: another execution can go on with it. */
  onSession(id: string, isKept: boolean): Promise<void>
}

/** The ways to go on with a session; what the agent repeats of it is not news. */
export const RESUMING: readonly string[] = [methods.agent.session.resume, methods.agent.session.load]

/** Says everything, in order, and waits for the end of the turn. @throws TaskFailure, or what `onSession` threw */
export async function converse(stream: Stream, plan: Plan, asks: Pick<Asks, 'request'>): Promise<{ answer: unknown; stopReason: string }> {
  const connection = connect(stream, asks)
  try {
    const agent = connection.agent
    const initialized = await asked(methods.agent.initialize, agent.request(methods.agent.initialize, { protocolVersion: PROTOCOL_VERSION, clientCapabilities: {}, clientInfo: { name: 'longshore', version: '1' } }))
    if (initialized.protocolVersion !== PROTOCOL_VERSION) throw new TaskFailure('agent_error', `the agent speaks version ${initialized.protocolVersion} of the Agent Client Protocol; this driver speaks ${PROTOCOL_VERSION}`)
    if (plan.authMethod !== undefined) await asked(methods.agent.authenticate, agent.request(methods.agent.authenticate, { methodId: plan.authMethod }))
    const { id, options } = await openSession(agent, initialized, plan)
    await plan.onSession(id, wayOf(initialized) !== undefined)
    if (plan.model !== undefined) await chooseModel(agent, id, options, plan.model)
    const answer = await asked(methods.agent.session.prompt, agent.request(methods.agent.session.prompt, { sessionId: id, prompt: [{ type: 'text', text: plan.prompt ?? '' }] }))
    return { answer, stopReason: answer.stopReason }
  } finally {
    connection.close()
  }
}

function connect(stream: Stream, asks: Pick<Asks, 'request'>): ClientConnection {
  return client({ name: 'longshore' })
    .onRequest(methods.client.session.requestPermission, ({ params, requestId, signal }) => asks.request({ id: requestId, params, signal }))
    .connect(stream)
}

/** What of an answer's options matters here; agents may answer null, and the library believes whatever they say. */
const Answer = z.object({ configOptions: z.array(z.looseObject({ id: z.string(), category: z.string().nullish() })).nullish() })
type Options = NonNullable<z.infer<typeof Answer>['configOptions']>

async function openSession(agent: ClientContext, initialized: InitializeResponse, { cwd, session }: Plan): Promise<{ id: string; options: Options }> {
  if (session === undefined) {
    const made = await asked(methods.agent.session.new, agent.request(methods.agent.session.new, { cwd, mcpServers: [] }))
    return { id: SessionId.parse(made.sessionId), options: Answer.safeParse(made).data?.configOptions ?? [] }
  }
  const way = wayOf(initialized)
  if (way === undefined) throw new TaskFailure('agent_error', 'the agent cannot go on with a session any more: its image has changed')
  const there: unknown = way === 'resume'
    ? await asked(methods.agent.session.resume, agent.request(methods.agent.session.resume, { sessionId: session, cwd, mcpServers: [] }))
    : await asked(methods.agent.session.load, agent.request(methods.agent.session.load, { sessionId: session, cwd, mcpServers: [] }))
  return { id: session, options: Answer.safeParse(there).data?.configOptions ?? [] }
}

/** `resume` repeats nothing, and so is preferred. */
function wayOf({ agentCapabilities }: InitializeResponse): 'resume' | 'load' | undefined {
  if (agentCapabilities?.sessionCapabilities?.resume != null) return 'resume'
  return agentCapabilities?.loadSession === true ? 'load' : undefined
}

async function chooseModel(agent: ClientContext, sessionId: string, options: Options, model: string): Promise<void> {
  const choice = options.find(({ category, id }) => category === 'model' || id === 'model')
  if (choice === undefined) throw new TaskFailure('provider_rejected', 'the agent lets nobody choose its model; leave the task\'s model out, or set it in the profile\'s command')
  await asked(methods.agent.session.setConfigOption, agent.request(methods.agent.session.setConfigOption, { sessionId, configId: choice.id, value: model })).catch((error: unknown) => {
    throw new TaskFailure('provider_rejected', `the agent does not take the model ${clip(model, 200)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  })
}

function asked<T>(method: string, answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => Promise.reject(failureOfRefusal(error, method) as Error))
}

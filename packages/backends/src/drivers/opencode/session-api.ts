import { TaskFailure } from '@longshore/contracts'
import { createOpencodeClient } from '@opencode-ai/sdk/v2/client'
import { z } from 'zod'
import { Message } from './message.ts'

/** How a server is reached. The password is in no URL, no log and no handle. */
export interface ServerAddress {
  url: string
  username: string
  password: string | undefined
}

/** What agents wait for. */
export interface PermissionAsk { id: string; sessionId: string; permission: string; patterns: string[] }
export interface QuestionAsk { id: string; sessionId: string; questions: z.output<typeof Question>[] }

/** What a session is to do about a tool, whatever its server's configuration says. */
export interface SessionRule { permission: string; pattern: string; action: 'ask' | 'deny' }

/** The calls that a run needs, bound to one directory. Answers are parsed: the agent can reach its own server, so it is not trusted. */
export interface SessionApi {
  /** Rejects when the server does not answer as an OpenCode server in time; default 2 s. */
  health(timeoutMs?: number): Promise<void>
  /** `createdAt`: Unix ms by the server's clock. */
  create(title: string, rules: readonly SessionRule[]): Promise<{ id: string; createdAt: number }>
  /** Returns at once. The ids make a repetition harmless: the server drops a message that it has. */
  prompt(sessionId: string, messageId: string, partId: string, text: string): Promise<void>
  exists(sessionId: string): Promise<boolean>
  /** Whether the session has this message. */
  has(sessionId: string, messageId: string): Promise<boolean>
  /** The sessions of exactly this directory, sub-agents' too. */
  list(): Promise<string[]>
  parentOf(sessionId: string): Promise<string | undefined>
  isBusy(sessionId: string): Promise<boolean>
  /** The newest `limit` messages, oldest first; all without a limit. */
  messages(sessionId: string, limit?: number): Promise<Message[]>
  /** Of all sessions of this directory. */
  asks(): Promise<{ permissions: PermissionAsk[]; questions: QuestionAsk[] }>
  /** Each `gone` when nobody waits for it any more. */
  allow(permission: string): Promise<'answered' | 'gone'>
  /** With a message the agent goes on; without one it would end. */
  refuse(permission: string, message: string): Promise<'answered' | 'gone'>
  /** Of each question the choices. */
  answerQuestion(question: string, answers: string[][]): Promise<'answered' | 'gone'>
  /** Answers when the session has stopped; bounded by `timeoutMs`. */
  abort(sessionId: string, timeoutMs: number): Promise<void>
  remove(sessionId: string): Promise<void>
}

/** A shared server with twenty directories was seen to answer after 7 s. */
const CALL_TIMEOUT_MS = 15_000
const HEALTH_TIMEOUT_MS = 2_000
/** No honest answer is larger; one that is would only fill our memory. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** Without a limit the server names the newest hundred. So many would be more than an answer may hold, and are refused rather than half seen. */
const MAX_SESSIONS = 1_000_000

const Created = z.object({ id: z.string().max(200), time: z.object({ created: z.number() }) })
const Sessions = z.array(z.object({ id: z.string(), directory: z.string() }))
const Listed = z.array(z.object({ directory: z.string(), time: z.object({ created: z.number() }) }))
const Parent = z.object({ parentID: z.string().optional() })
const Statuses = z.record(z.string(), z.object({ type: z.string() }))
const Permissions = z.array(z.object({ id: z.string(), sessionID: z.string(), permission: z.string(), patterns: z.array(z.string()) }))
const Question = z.object({ question: z.string(), options: z.array(z.object({ label: z.string() })).default([]), multiple: z.boolean().optional(), custom: z.boolean().optional() })
const Questions = z.array(z.object({ id: z.string(), sessionID: z.string(), questions: z.array(Question).max(20) }))
const Healthy = z.object({ healthy: z.literal(true) })

export function authorizationOf(address: ServerAddress): Record<string, string> {
  if (address.password === undefined) return {}
  return { authorization: `Basic ${Buffer.from(`${address.username}:${address.password}`).toString('base64')}` }
}

/** The API of the server at `address` for the directory `directory`. Opens no connection by itself. */
export function sessionApi(address: ServerAddress, directory: string): SessionApi {
  const clientWith = (timeoutMs: number) =>
    createOpencodeClient({ baseUrl: address.url, directory, headers: authorizationOf(address), fetch: (request, init) => boundedFetch(new Request(request, init), timeoutMs), throwOnError: true })
  const client = clientWith(CALL_TIMEOUT_MS)
  return {
    health: async (timeoutMs = HEALTH_TIMEOUT_MS) => void Healthy.parse((await clientWith(timeoutMs).global.health()).data),
    create: async (title, rules) => {
      const { id, time } = Created.parse((await client.session.create({ title, ...(rules.length === 0 ? {} : { permission: [...rules] }) })).data)
      return { id, createdAt: time.created }
    },
    prompt: async (sessionID, messageID, id, text) => void (await client.session.promptAsync({ sessionID, messageID, parts: [{ id, type: 'text', text }] })),
    exists: (sessionID) => client.session.get({ sessionID }).then(() => true, notFoundIs(false)),
    has: (sessionID, messageID) => client.session.message({ sessionID, messageID }).then(() => true, notFoundIs(false)),
    list: async () => Sessions.parse((await client.session.list()).data).filter((session) => session.directory === directory).map((session) => session.id),
    parentOf: (sessionID) => client.session.get({ sessionID }).then(({ data }) => Parent.parse(data).parentID, notFoundIs(undefined)),
    isBusy: async (sessionID) => sessionID in Statuses.parse((await client.session.status()).data),
    messages: async (sessionID, limit) => z.array(Message).parse((await client.session.messages({ sessionID, ...(limit === undefined ? {} : { limit }) })).data),
    asks: async () => {
      const [permissions, questions] = await Promise.all([client.permission.list(), client.question.list()])
      return {
        permissions: Permissions.parse(permissions.data).map(({ id, sessionID, permission, patterns }) => ({ id, sessionId: sessionID, permission, patterns })),
        questions: Questions.parse(questions.data).map(({ id, sessionID, questions: each }) => ({ id, sessionId: sessionID, questions: each })),
      }
    },
    // Never `always`: the server would allow more than what was asked, and ask nobody who could forbid it.
    allow: (requestID) => answered(client.permission.reply({ requestID, reply: 'once' })),
    refuse: (requestID, message) => answered(client.permission.reply({ requestID, reply: 'reject', message })),
    answerQuestion: (requestID, answers) => answered(client.question.reply({ requestID, answers })),
    abort: async (sessionID, timeoutMs) => void (await clientWith(timeoutMs).session.abort({ sessionID }).catch(notFoundIs(undefined))),
    remove: async (sessionID) => void (await client.session.delete({ sessionID }).catch(notFoundIs(undefined))),
  }
}

/** All sessions of a server, of every directory, sub-agents' and archived ones too; `createdAt` in Unix ms, by the server's clock. */
export async function allSessions(address: ServerAddress): Promise<{ directory: string; createdAt: number }[]> {
  const client = createOpencodeClient({ baseUrl: address.url, headers: authorizationOf(address), fetch: (request, init) => boundedFetch(new Request(request, init), CALL_TIMEOUT_MS), throwOnError: true })
  const { data } = await client.experimental.session.list({ limit: MAX_SESSIONS, archived: true })
  return Listed.parse(data).map(({ directory, time }) => ({ directory, createdAt: time.created }))
}

/** The HTTP status of a refused call; undefined when there was no answer. */
export function statusOf(error: unknown): number | undefined {
  const cause = error instanceof Error ? error.cause : undefined
  const parsed = z.object({ status: z.number() }).safeParse(cause)
  return parsed.data?.status
}

/** A call that failed before the run had begun, as the failure of the task. */
export function asCallFailure(error: unknown, what: string): TaskFailure {
  if (error instanceof TaskFailure) return error
  const status = statusOf(error)
  const reason = error instanceof Error ? error.message : String(error)
  if (status === 401 || status === 403) return new TaskFailure('bad_credentials', `the OpenCode server refused our password (${what}); check OPENCODE_SERVER_PASSWORD`, { cause: error })
  return new TaskFailure('backend_unavailable', `the OpenCode server did not ${what}: ${reason}`, { cause: error })
}

function answered(call: Promise<unknown>): Promise<'answered' | 'gone'> {
  return call.then(() => 'answered' as const, notFoundIs('gone' as const))
}

function notFoundIs<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (statusOf(error) === 404) return value
    throw error
  }
}

async function boundedFetch(request: Request, timeoutMs: number): Promise<Response> {
  const response = await fetch(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]), redirect: 'error' })
  if (response.body === null) return response
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body as AsyncIterable<Uint8Array>) {
    size += part.byteLength
    if (size > MAX_ANSWER_BYTES) throw new Error(`the OpenCode server's answer to ${new URL(request.url).pathname} is larger than ${MAX_ANSWER_BYTES} bytes`)
    parts.push(part)
  }
  const isEmpty = size === 0 || response.status === 204
  return new Response(isEmpty ? null : Buffer.concat(parts), { status: response.status, statusText: response.statusText, headers: response.headers })
}

import { type FailureCode, TaskFailure } from '@longshore/contracts'
import type { Message, MessageError } from './message.ts'

/** What status and newest message say about a run. No event is a completion signal. */
export type Verdict = { is: 'running' } | { is: 'pending' } | { is: 'completed' } | { is: 'unheard'; message: Message } | { is: 'failed'; failure: TaskFailure }

const INTERRUPTED = new TaskFailure('backend_lost', 'the OpenCode server stopped in the middle of the work')

/**
 * The truth about a session: busy, or what the messages of this run show. `lastError`: what the stream last reported, for a run that left
 * no message. `told`: the id of what the agent was told last; the run that ended without it is `unheard`, for the server had looked for
 * messages for the last time when this one came.
 */
export function judge(isBusy: boolean, messages: readonly Message[], lastError: MessageError | undefined, told?: string): Verdict {
  if (isBusy) return { is: 'running' }
  const unheard = unheardOf(messages, told)
  const answer = unheard === undefined ? messages.at(-1) : answerOf(messages)
  if (answer?.info.role !== 'assistant' || (unheard !== undefined && lastError !== undefined)) return lastError === undefined ? { is: 'pending' } : failed(failureOf(lastError))
  const end = endOf(answer, unheard !== undefined)
  return end.is === 'completed' && unheard !== undefined ? { is: 'unheard', message: unheard } : end
}

/** The message that was told, when it is the newest of the user's and the last answer is to another. The server's own rule for going on. */
function unheardOf(messages: readonly Message[], told: string | undefined): Message | undefined {
  const asked = messages.filter(({ info }) => info.role === 'user').reduce<Message | undefined>((latest, one) => (latest !== undefined && isNewer(latest, one) ? latest : one), undefined)
  return asked?.info.id !== told || answerOf(messages)?.info.parentID === told ? undefined : asked
}

function answerOf(messages: readonly Message[]): Message | undefined {
  return messages.findLast(({ info }) => info.role === 'assistant')
}

function isNewer({ info: a }: Message, { info: b }: Message): boolean {
  const [createdA, createdB] = [a.time.created ?? 0, b.time.created ?? 0]
  return createdA === createdB ? a.id > b.id : createdA > createdB
}

/** What the last answer says. `goesOn`: something came after it, so that it is not by itself the end. */
function endOf(newest: Message, goesOn: boolean): Verdict {
  const { error, time, finish } = newest.info
  if (error !== undefined) return failed(failureOf(error))
  if (time.completed === undefined) return failed(INTERRUPTED)
  switch (finish ?? 'no reason') {
    case 'stop': return { is: 'completed' }
    case 'tool-calls': return failed(wasRefused(newest) && !goesOn ? new TaskFailure('permission_rejected', 'the agent ended because something it asked for was refused') : INTERRUPTED)
    case 'length':
    case 'content-filter': return failed(new TaskFailure('output_truncated', `the model stopped early: ${finish}`))
    default: return failed(new TaskFailure('agent_error', `the agent ended with "${finish ?? 'no reason'}"`))
  }
}

/** After a turn that called tools the next one follows, except when a tool was refused. */
function wasRefused({ parts }: Message): boolean {
  return parts.some((part) => part.type === 'tool' && part.state.status === 'error')
}

/** Whether two verdicts, taken one after the other, say the same. */
export function agrees(a: Verdict, b: Verdict): boolean {
  return a.is === b.is && (a.is !== 'failed' || b.is !== 'failed' || a.failure.code === b.failure.code)
}

/** OpenCode's errors in our words. Status codes are the model provider's. */
export function failureOf(error: MessageError): TaskFailure {
  return new TaskFailure(codeOf(error), `${error.name}: ${error.data.message ?? 'no message'}`)
}

function codeOf({ name, data }: MessageError): FailureCode {
  const text = data.message ?? ''
  switch (name) {
    case 'ProviderAuthError': return 'provider_rejected'
    case 'MessageOutputLengthError':
    case 'ContextOverflowError':
    case 'ContentFilterError': return 'output_truncated'
    case 'APIError': return providerCode(data.statusCode, data.isRetryable === true)
    case 'MessageAbortedError': return 'backend_lost' // not by us: who aborts on our behalf does not listen any more
    default: return /model not found|ModelNotFound|ProviderInit/i.test(`${name} ${text}`) ? 'provider_rejected' : 'agent_error'
  }
}

function providerCode(status: number | undefined, isRetryable: boolean): FailureCode {
  if (status === 429) return 'provider_busy'
  if (status === undefined) return 'provider_error' // no answer: a broken connection
  if (status >= 500 || status === 408) return 'provider_error'
  return isRetryable && status < 400 ? 'provider_error' : 'provider_rejected'
}

function failed(failure: TaskFailure): Verdict {
  return { is: 'failed', failure }
}

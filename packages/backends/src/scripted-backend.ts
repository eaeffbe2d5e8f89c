import { setTimeout as delay } from 'node:timers/promises'
import { type AgentMessage, type Backend, type Execution, type ExecutionEvent, type ExecutionOutcome, type Failure, type FailureCode, type Found, type Handle, type Mode, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { createJournal } from './journal.ts'

export interface ScriptedBackendOptions {
  mode: Mode
  /** How long each task runs before it does anything; default 0. */
  runMs?: number
}

/** The longest a timer can be; a task is ended long before. */
const FOR_EVER_MS = 2 ** 31 - 1
const USAGE = { input_tokens: 1, output_tokens: 1, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 }

interface Running extends Found { ended: AbortController }

/**
 * Starts nothing: a task says one thing and completes, or does what `[[say TEXT]]`, `[[sleep MS]]`, `[[hang]]` and `[[status CODE]]` in its
 * prompt ask for, in their order; what it is told meanwhile it only repeats. It lives in this process and goes with it. For benchmarks and tests of everything around a backend, never for users.
 */
export function createScriptedBackend({ mode, runMs = 0 }: ScriptedBackendOptions): Backend {
  const running = new Map<string, Running>()
  const dispose: Backend['dispose'] = async ({ data }, run) => {
    await run.confirmClaim()
    const key = String(data['scripted'])
    running.get(key)?.ended.abort()
    running.delete(key)
  }
  return {
    mode,
    capabilities: { isolation: 'shared', adopt: false, resume: false, steer: true, ask: false, pause: false, usage: true, files: false },
    probe: () => Promise.resolve({ ok: true }),
    engineId: () => Promise.resolve(undefined),
    start: async (task, run) => {
      const key = `${task.id}-${run.claim}`
      const handle: Handle = { v: 1, mode, data: { scripted: key } }
      await run.onHandle(handle)
      const ended = new AbortController()
      running.set(key, { taskId: task.id, createdAt: Date.now(), handle, ended })
      const { outcome, ...execution } = perform(task, run, runMs, ended.signal)
      const cleared = outcome.finally(() => running.delete(key))
      cleared.catch(() => {}) // whoever awaits it hears of it
      return { handle, outcome: cleared, ...execution }
    },
    attach: () => Promise.resolve(undefined),
    resume: () => Promise.resolve(undefined),
    checkpoint: dispose,
    list: () => Promise.resolve([...running.values()].map(({ taskId, createdAt, handle }) => ({ taskId, createdAt, handle }))),
    dispose,
    close: () => Promise.resolve(),
  }
}

function perform(task: Task, run: RunContext, runMs: number, ended: AbortSignal): Required<Omit<Execution, 'handle'>> {
  const journal = createJournal()
  const told = new Set<string>()
  let isOver = false
  let emitted = 0
  let last = Promise.resolve()
  const emitAfter = async (previous: Promise<void>, events: readonly ExecutionEvent[]): Promise<void> => {
    await previous
    if (events.length > 0) await run.emit(events, String(emitted + events.length))
    emitted += events.length
    journal.add(events)
  }
  /** One step after the other, whoever says it: the position counts. */
  const emit = (events: readonly ExecutionEvent[]): Promise<void> => {
    const step = emitAfter(last, events)
    last = step.catch(() => {}) // whoever asked for it hears of it
    return step
  }
  const outcome = script(task, run, runMs, ended, emit, () => (isOver = true)).then(
    (end): ExecutionOutcome => (end === undefined ? { kind: 'completed', result: journal.result(0) } : { kind: 'failed', failure: end, result: journal.result(0) }),
  )
  return {
    outcome: outcome.finally(() => (isOver = true)),
    result: () => Promise.resolve(journal.result(0)),
    tell: async ({ id, text }: AgentMessage) => {
      if (told.has(id)) return 'delivered'
      if (isOver || ended.aborted) return 'over'
      await run.confirmClaim()
      await emit([said(`heard: ${text}\n`)])
      told.add(id)
      return 'delivered'
    },
  }
}

/** Follows the script to its end: undefined, or a failure. What it says last goes out after `decided`. */
async function script(task: Task, run: RunContext, runMs: number, ended: AbortSignal, emit: (events: ExecutionEvent[]) => Promise<void>, decided: () => void): Promise<Failure | undefined> {
  const pending: ExecutionEvent[] = []
  const wait = (ms: number): Promise<void> => delay(ms, undefined, { signal: AbortSignal.any([run.signal, ended]) })
  try {
    if (runMs > 0) await wait(runMs)
    for (const { verb, text } of stepsOf(task.prompt)) {
      if (verb === 'say') pending.push(said(text))
      else await emit(pending.splice(0))
      if (verb === 'sleep') await wait(Number(text))
      if (verb === 'hang') await wait(FOR_EVER_MS)
      if (verb === 'status') return new TaskFailure(failureOf(Number(text)), `the script answers ${text}`).toFailure()
    }
    decided()
    await emit([...pending, { type: 'task.usage', payload: USAGE }])
    return undefined
  } catch (error) {
    if (run.signal.aborted || !ended.aborted) throw error
    return { code: 'backend_lost', message: 'the script was ended' }
  }
}

function said(text: string): ExecutionEvent {
  return { type: 'task.output', payload: { text, stream: 'agent' } }
}

interface Step { verb: string; text: string }

/** The words are those of the scripted model; what else stands in a prompt is overheard. */
function stepsOf(prompt: string): Step[] {
  const steps = [...prompt.matchAll(/\[\[(say|hang|status|sleep)(?: ([^\]]*))?\]\]/g)].map(([, verb = '', text = '']) => ({ verb, text }))
  return steps.length > 0 ? steps : [{ verb: 'say', text: '[scripted] done' }]
}

function failureOf(status: number): FailureCode {
  if (status === 429) return 'provider_busy'
  return status >= 500 ? 'provider_error' : 'provider_rejected'
}

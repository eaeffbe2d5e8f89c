import { setTimeout as delay } from 'node:timers/promises'
import { type Backend, type ExecutionEvent, type ExecutionOutcome, type FailureCode, type Found, type Handle, type Mode, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { createJournal, type Journal } from './journal.ts'

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
 * Starts nothing: a task says one thing and completes, or does what `[[say TEXT]]`, `[[hang]]` and `[[status CODE]]` in its prompt ask for,
 * in their order. It lives in this process and goes with it. For benchmarks and tests of everything around a backend, never for users.
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
    capabilities: { isolation: 'shared', adopt: false, resume: false, steer: false, pause: false, usage: true, files: false },
    probe: () => Promise.resolve({ ok: true }),
    engineId: () => Promise.resolve(undefined),
    start: async (task, run) => {
      const key = `${task.id}-${run.claim}`
      const handle: Handle = { v: 1, mode, data: { scripted: key } }
      await run.onHandle(handle)
      const ended = new AbortController()
      running.set(key, { taskId: task.id, createdAt: Date.now(), handle, ended })
      const journal = createJournal()
      const outcome = perform(task, run, journal, runMs, ended.signal).finally(() => running.delete(key))
      outcome.catch(() => {}) // whoever awaits it hears of it
      return { handle, outcome, result: () => Promise.resolve(journal.result(0)) }
    },
    attach: () => Promise.resolve(undefined),
    resume: () => Promise.resolve(undefined),
    checkpoint: dispose,
    list: () => Promise.resolve([...running.values()].map(({ taskId, createdAt, handle }) => ({ taskId, createdAt, handle }))),
    dispose,
    close: () => Promise.resolve(),
  }
}

async function perform(task: Task, run: RunContext, journal: Journal, runMs: number, ended: AbortSignal): Promise<ExecutionOutcome> {
  const pending: ExecutionEvent[] = []
  let told = 0
  const flush = async (): Promise<void> => {
    const events = pending.splice(0)
    told += events.length
    if (events.length > 0) await run.emit(events, String(told))
    journal.add(events)
  }
  const wait = (ms: number): Promise<void> => delay(ms, undefined, { signal: AbortSignal.any([run.signal, ended]) })
  try {
    if (runMs > 0) await wait(runMs)
    for (const { verb, text } of stepsOf(task.prompt)) {
      if (verb === 'say') pending.push({ type: 'task.output', payload: { text, stream: 'agent' } })
      else await flush()
      if (verb === 'hang') await wait(FOR_EVER_MS)
      if (verb === 'status') return { kind: 'failed', failure: new TaskFailure(failureOf(Number(text)), `the script answers ${text}`).toFailure(), result: journal.result(0) }
    }
    pending.push({ type: 'task.usage', payload: USAGE })
    await flush()
    return { kind: 'completed', result: journal.result(0) }
  } catch (error) {
    if (run.signal.aborted || !ended.aborted) throw error
    return { kind: 'failed', failure: { code: 'backend_lost', message: 'the script was ended' }, result: journal.result(0) }
  }
}

interface Step { verb: string; text: string }

/** The words are those of the scripted model; what else stands in a prompt is overheard. */
function stepsOf(prompt: string): Step[] {
  const steps = [...prompt.matchAll(/\[\[(say|hang|status)(?: ([^\]]*))?\]\]/g)].map(([, verb = '', text = '']) => ({ verb, text }))
  return steps.length > 0 ? steps : [{ verb: 'say', text: '[scripted] done' }]
}

function failureOf(status: number): FailureCode {
  if (status === 429) return 'provider_busy'
  return status >= 500 ? 'provider_error' : 'provider_rejected'
}

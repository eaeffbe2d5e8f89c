import { setTimeout as delay } from 'node:timers/promises'
import type { Backend, Isolation, Mode } from '@longshore/contracts'

export interface ScriptedBackendOptions {
  mode: Mode
  /** How long each task runs; default 0: it is over at once. */
  runMs?: number
}

/** Runs nothing: every task says one thing and completes. For benchmarks of everything around a backend, never for users. */
export function createScriptedBackend({ mode, runMs = 0 }: ScriptedBackendOptions): Backend {
  const isolation: Isolation = 'shared'
  return {
    mode,
    capabilities: { isolation, adopt: false, resume: false, steer: false, pause: false, usage: true, files: false },
    probe: () => Promise.resolve({ ok: true }),
    start: async (task, run) => {
      const handle = { v: 1 as const, mode, data: { scripted: task.id, claim: run.claim } }
      await run.onHandle(handle)
      const usage = { input_tokens: 1, output_tokens: 1, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 }
      const result = { output: '[scripted] done', output_truncated: false, files_changed: 0, usage }
      const work = async (): Promise<{ kind: 'completed'; result: typeof result }> => {
        if (runMs > 0) await delay(runMs, undefined, { signal: run.signal })
        await run.emit([{ type: 'task.output', payload: { text: result.output, stream: 'agent' } }, { type: 'task.usage', payload: usage }], 'end')
        return { kind: 'completed', result }
      }
      const outcome = work()
      outcome.catch(() => {}) // whoever awaits it hears of it
      return { handle, outcome, result: () => Promise.resolve(result) }
    },
    attach: () => Promise.resolve(undefined),
    engineId: () => Promise.resolve(undefined),
    resume: () => Promise.resolve(undefined),
    checkpoint: () => Promise.resolve(),
    list: () => Promise.resolve([]),
    dispose: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
}

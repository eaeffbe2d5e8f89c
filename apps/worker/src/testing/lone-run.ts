import { randomBytes } from 'node:crypto'
import { type ExecutionEvent, type Handle, type RunContext, SILENT, type Task, taskIdFrom } from '@longshore/contracts'

/** One run of a task under no ledger, with all that was said of it. */
export interface LoneRun { task: Task; run: RunContext; events: ExecutionEvent[]; handle(): Handle; said(): string; letGo(): void }

export function loneRun(prompt: string, more: Partial<Task> = {}): LoneRun {
  const [events, handles, letGo]: [ExecutionEvent[], Handle[], AbortController] = [[], [], new AbortController()]
  const task: Task = {
    v: 1, id: taskIdFrom(randomBytes(52)), agent_id: 'agent-a', prompt, title: 'a task', mode: 'docker', profile: 'opencode', timeout_ms: 60_000, max_attempts: 1, observers: [],
    state: 'running', claim: 1, attempt: 1, ticket: 1, created_at: 0, seq: 1, last_event_id: '', ...more,
  }
  const run: RunContext = {
    claim: task.claim, deadlineAt: Date.now() + 600_000, signal: letGo.signal, log: SILENT, confirmClaim: () => Promise.resolve(),
    onHandle: (handle) => Promise.resolve(void handles.push(handle)),
    onAsks: () => Promise.resolve(),
    emit: (news) => Promise.resolve(void events.push(...news)),
  }
  return {
    task, run, events,
    handle: () => {
      const last = handles.at(-1)
      if (last === undefined) throw new Error('the backend stored no handle')
      return last
    },
    said: () => events.flatMap((event) => (event.type === 'task.output' ? [event.payload.text] : event.type === 'task.tool' ? [event.payload.output ?? ''] : [])).join('\n'),
    letGo: () => letGo.abort(),
  }
}

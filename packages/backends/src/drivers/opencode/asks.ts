import { clip } from '../../text.ts'
import type { ExecutionEvent } from '@longshore/contracts'
import type { Ask, SessionApi } from './session-api.ts'

const REFUSAL = 'Not allowed here: work inside the workspace and without asking. Go on without it.'
/** Sub-agents of sub-agents: deeper than any that was seen. */
const MAX_DEPTH = 8

/** Refuses what the session or its sub-agents wait for, so that nothing blocks for ever; one event for each. `confirm` is awaited before each refusal. */
export async function refuseAsks(api: SessionApi, sessionId: string, confirm: () => Promise<void>): Promise<ExecutionEvent[]> {
  const events: ExecutionEvent[] = []
  for (const ask of await api.asks()) {
    if (!(await isFamily(api, ask, sessionId))) continue
    await confirm()
    await api.reject(ask, REFUSAL)
    events.push({ type: 'task.tool', payload: { tool: ask.kind, title: clip(ask.title, 300), status: 'error', output: 'refused: nobody is there to answer' } })
  }
  return events
}

async function isFamily(api: SessionApi, ask: Ask, sessionId: string): Promise<boolean> {
  let id: string | undefined = ask.sessionId
  for (let depth = 0; id !== undefined && depth < MAX_DEPTH; depth += 1) {
    if (id === sessionId) return true
    id = await api.parentOf(id)
  }
  return false
}

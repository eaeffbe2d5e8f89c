import type { ExecutionEvent, ExecutionOutcome } from '@longshore/contracts'
import { piecesOf } from './text.ts'

/** Room for the rest of an event below MAX_EVENT_BYTES (16 KiB), in bytes of JSON. */
const TEXT_BYTES = 12 * 1024

/** Events with `clean` applied to every text that others wrote. */
export function cleanEvents(events: readonly ExecutionEvent[], clean: (text: string) => string): ExecutionEvent[] {
  const cleaned = (event: ExecutionEvent): ExecutionEvent => {
    switch (event.type) {
      case 'task.output': return { ...event, payload: { ...event.payload, text: clean(event.payload.text) } }
      case 'task.tool': {
        const { title, input, output } = event.payload
        const optional = { ...(input === undefined ? {} : { input: clean(input) }), ...(output === undefined ? {} : { output: clean(output) }) }
        const whole = event.whole === undefined ? {} : { whole: clean(event.whole) }
        return { ...event, ...whole, payload: { ...event.payload, title: clean(title), ...optional } }
      }
      case 'task.file_changed':
      case 'task.usage':
      default: return event
    }
  }
  return withoutCuts(events, clean).map(cleaned)
}

type Output = Extract<ExecutionEvent, { type: 'task.output' }>

/** What was said in one piece and cut into events: a secret that lies across the cut would be whole again in the full output. */
function withoutCuts(events: readonly ExecutionEvent[], clean: (text: string) => string): readonly ExecutionEvent[] {
  return runsOf(events).flatMap((run): ExecutionEvent[] => {
    const [first] = run
    if (run.length < 2 || first?.type !== 'task.output') return run
    const { stream } = first.payload
    const said = run.flatMap((event) => (event.type === 'task.output' ? [event.payload.text] : []))
    const whole = clean(said.join(''))
    return whole === said.map(clean).join('') ? run : piecesOf(whole, TEXT_BYTES).map((text): Output => ({ type: 'task.output', payload: { text, stream } }))
  })
}

/** Neighbouring output of one stream together, everything else alone. */
function runsOf(events: readonly ExecutionEvent[]): ExecutionEvent[][] {
  const runs: ExecutionEvent[][] = []
  for (const event of events) {
    const last = runs.at(-1)
    const before = last?.at(-1)
    if (last !== undefined && before?.type === 'task.output' && event.type === 'task.output' && before.payload.stream === event.payload.stream) last.push(event)
    else runs.push([event])
  }
  return runs
}

/** An outcome with `clean` applied to what a failure says: it quotes servers and providers. Its result is made of clean events. */
export function cleanOutcome(outcome: ExecutionOutcome, clean: (text: string) => string): ExecutionOutcome {
  if (outcome.kind === 'completed') return outcome
  return { ...outcome, failure: { ...outcome.failure, message: clean(outcome.failure.message) } }
}

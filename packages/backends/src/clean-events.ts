import type { ExecutionEvent, ExecutionOutcome } from '@longshore/contracts'

/** Events with `clean` applied to every text that others wrote. */
export function cleanEvents(events: readonly ExecutionEvent[], clean: (text: string) => string): ExecutionEvent[] {
  return events.map((event): ExecutionEvent => {
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
  })
}

/** An outcome with `clean` applied to what a failure says: it quotes servers and providers. Its result is made of clean events. */
export function cleanOutcome(outcome: ExecutionOutcome, clean: (text: string) => string): ExecutionOutcome {
  if (outcome.kind === 'completed') return outcome
  return { ...outcome, failure: { ...outcome.failure, message: clean(outcome.failure.message) } }
}

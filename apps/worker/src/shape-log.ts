import type { ExecutionEvent } from '@longshore/contracts'

/** What goes into the log of what an execution says. */
export type ShapeLog = (events: readonly ExecutionEvent[]) => ExecutionEvent[]

/** Bytes of JSON in which words are put together: with the rest of an event below 16 KiB, so that the ledger need not cut them again. */
const EVENT_BYTES = 12 * 1024
/** A text that is longer than this goes in whole if there is room for so much of it. */
const MOST = 200
/** Events that a task may add at once, and how many each second brings back. */
const BURST = 1_000
const PER_SECOND = 50

export const TOO_FAST = '\n[longshore] Output comes too fast for the log: what follows is left out of it until there is room. get_task_output has all that is kept.\n'

/**
 * Bounds what a talkative agent costs the log and everybody who follows it: words of one stream that come together are one event, and
 * output beyond a rate is left out, which the log says once. What an agent does, as opposed to says, always goes in. Nothing of this touches the full
 * output, which was written down before.
 * @param now monotonic milliseconds
 */
export function createLogShape(now: () => number): ShapeLog {
  let [room, at] = [BURST, now()]
  let isLeavingOut = false
  return (events) => {
    room = Math.min(BURST, room + (now() - at) * PER_SECOND / 1_000)
    at = now()
    return joined(events).flatMap((event): ExecutionEvent[] => {
      const cost = costOf(event)
      // With room for a second's worth: the log does not go on and off with every word.
      if (event.type === 'task.output' && room < (isLeavingOut ? PER_SECOND : 0) + Math.min(cost, MOST)) {
        const isFirst = !isLeavingOut
        isLeavingOut = true
        return isFirst ? [{ type: 'task.output', payload: { ...event.payload, text: TOO_FAST } }] : []
      }
      if (event.type === 'task.output') isLeavingOut = false
      room = Math.max(0, room - cost)
      return [event]
    })
  }
}

/** Neighbouring words of one stream as one event, as far as they fit. */
function joined(events: readonly ExecutionEvent[]): ExecutionEvent[] {
  const found: ExecutionEvent[] = []
  let bytes = 0
  for (const event of events) {
    const last = found.at(-1)
    const more = event.type === 'task.output' ? sizeOf(event.payload.text) : 0
    if (last?.type === 'task.output' && event.type === 'task.output' && last.payload.stream === event.payload.stream && bytes + more <= EVENT_BYTES) {
      found[found.length - 1] = { type: 'task.output', payload: { ...last.payload, text: last.payload.text + event.payload.text } }
      bytes += more
    } else {
      found.push(event)
      bytes = more
    }
  }
  return found
}

const sizeOf = (text: string) => Buffer.byteLength(JSON.stringify(text))

/** Events that it becomes. */
const costOf = (event: ExecutionEvent) => (event.type === 'task.output' ? Math.max(1, Math.ceil(sizeOf(event.payload.text) / EVENT_BYTES)) : 1)

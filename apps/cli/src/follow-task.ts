import { setTimeout as delay } from 'node:timers/promises'
import { BrokenOff, EventAnswer, GatewayAway, type GatewayClient, type TaskAnswer } from './gateway-client.ts'

/** How long a gateway may be away, and how often it is asked meanwhile. */
const AWAY_AFTER_MS = 30_000
const AGAIN_MS = 300

/**
 * Shows the events of a task, from the first, until it is over; goes on from its cursor when the gateway was away for a while,
 * or another one answers (G6).
 * @returns the task at its end; undefined when the signal came first
 */
export async function followTask(gateway: Pick<GatewayClient, 'events' | 'status'>, taskId: string, onEvent: (event: EventAnswer) => void, signal: AbortSignal): Promise<TaskAnswer | undefined> {
  const place: Place = { cursor: undefined }
  let thereAt = performance.now()
  const isLeft = () => signal.aborted
  while (!isLeft()) {
    try {
      if (await readOn(gateway, taskId, place, onEvent, signal)) return await gateway.status(taskId)
      thereAt = performance.now()
    } catch (error) {
      if (isLeft()) return undefined
      if (error instanceof BrokenOff) thereAt = performance.now()
      if (!(error instanceof GatewayAway) || performance.now() - thereAt > AWAY_AFTER_MS) throw error
    }
    await delay(AGAIN_MS, undefined, { signal }).catch(() => undefined)
  }
  return undefined
}

interface Place { cursor: string | undefined }

/** One connection. @returns whether the task is over and all of it was shown */
async function readOn(gateway: Pick<GatewayClient, 'events'>, taskId: string, place: Place, onEvent: (event: EventAnswer) => void, signal: AbortSignal): Promise<boolean> {
  for await (const { event: type, data, id } of gateway.events(taskId, place.cursor, signal)) {
    if (type === 'end') return true
    if (type === 'reconnect') return false
    place.cursor = id ?? place.cursor
    const event = type === 'cursor_reset' ? undefined : EventAnswer.safeParse(JSON.parse(data)).data
    if (event !== undefined) onEvent(event)
  }
  return false
}

import { type ErrorBody, type Log, LongshoreError } from '@longshore/contracts'

import { describeError, toDoorError, toInputError } from './door-error.ts'
import type { GatewayMetrics } from './gateway-metrics.ts'
import type { Call, Operation } from './operations/operation.ts'

/** How a call ended; both doors render it. */
export type Answer = { ok: true; value: object } | { ok: false; body: ErrorBody; status: number }

/** Serves one call of one operation, whichever door it came through. */
export type CallOperation = (operation: Operation, input: unknown, call: Call) => Promise<Answer>

/** A handler that has not answered by then (besides waiting on purpose) waits for a Redis that hangs. */
const PATIENCE_MS = 5_000

/** Scope, input, handler, error, metrics, log line: in this order, for every door. Arguments are never logged (G14). */
export function createCallOperation({ log, metrics }: { log: Log; metrics: GatewayMetrics }): CallOperation {
  return async (operation, input, call) => {
    const begun = performance.now()
    const answer = await answerOf(operation, input, call).catch((thrown: unknown) => refuse(thrown, operation, log))
    const code = answer.ok ? 'ok' : answer.body.error.code
    metrics.count(operation.name, code)
    log.debug({ operation: operation.name, code, caller: call.caller.keyId, duration_ms: Math.round(performance.now() - begun) }, 'call')
    return answer
  }
}

async function answerOf(operation: Operation, input: unknown, call: Call): Promise<Answer> {
  if (!call.caller.scopes.includes(operation.scope)) {
    throw new LongshoreError('forbidden', `${operation.name} needs a key with the scope ${operation.scope}`, { next: 'Use an operator\'s key.' })
  }
  const parsed = operation.input.safeParse(input ?? {})
  if (!parsed.success) throw toInputError(parsed.error, Object.keys(operation.input.shape))
  const patience = PATIENCE_MS + (operation.patienceMs?.(parsed.data) ?? 0)
  return { ok: true, value: await within(operation.handle(parsed.data, call), patience) }
}

function refuse(thrown: unknown, operation: Operation, log: Log): Answer {
  const error = toDoorError(thrown)
  if (error.code === 'internal') log.error({ operation: operation.name, err: describeError(thrown) }, 'a call failed by a defect of ours')
  return { ok: false, body: error.toBody(), status: error.status }
}

function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LongshoreError('unavailable', `no answer from Redis within ${ms} ms`, {
      next: 'Try again in some seconds; whether a submit was accepted is not known, so repeat it with the same idempotency_key.',
    })), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

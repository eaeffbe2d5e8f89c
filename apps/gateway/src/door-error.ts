import { LongshoreError } from '@longshore/contracts'
import type { z } from 'zod'

/**
 * Whatever a handler threw, as a caller may see it. Redis being away is `unavailable` (it passes by itself);
 * everything unknown is `internal`, without its words, which could hold data.
 */
export function toDoorError(thrown: unknown): LongshoreError {
  if (thrown instanceof LongshoreError) return thrown
  const refusal = refusalOf(thrown)
  if (refusal === 'OOM') {
    return new LongshoreError('overloaded', 'Redis has used all of its maxmemory, so nothing can be accepted now', {
      next: 'Try again later, or ask the operator to give Redis more memory.', cause: thrown,
    })
  }
  if (refusal !== undefined) {
    return new LongshoreError('unavailable', `Redis refuses commands now (${refusal})`, {
      next: 'Try again in some seconds; if it stays, tell the operator: /ready says why.', cause: thrown,
    })
  }
  if (isRedisAway(thrown)) {
    return new LongshoreError('unavailable', 'Redis does not answer, so nothing can be accepted or read now', {
      next: 'Try again in some seconds; a submit with the same idempotency_key is safe to repeat.', cause: thrown,
    })
  }
  return new LongshoreError('internal', 'a defect of the gateway; it is in its log', { next: 'Try again; if it stays, tell the operator.', cause: thrown })
}

// ioredis has no classes or codes for these.
const AWAY = /Connection is closed|Stream isn't writeable|max retries per request|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT/
// The first word of what Redis answers when it is there and does not take a command; it passes, or an operator mends it.
const REFUSES = /^(LOADING|MASTERDOWN|READONLY|OOM|MISCONF|CLUSTERDOWN|NOREPLICAS|BUSY) /

function refusalOf(thrown: unknown): string | undefined {
  return thrown instanceof Error ? REFUSES.exec(thrown.message)?.[1] : undefined
}

function isRedisAway(thrown: unknown): boolean {
  return thrown instanceof Error && AWAY.test(thrown.message)
}

/** The first thing that is wrong with an operation's input, by its field. Never repeats the value: it may be a secret or huge. */
export function toInputError(error: z.ZodError, allowed: readonly string[]): LongshoreError {
  const issue = error.issues[0]
  if (issue?.code === 'unrecognized_keys') {
    const names = issue.keys.map((key) => JSON.stringify(key.slice(0, 80))).join(', ')
    const within = fieldOf(issue.path)
    if (within !== '') return new LongshoreError('invalid_input', `${within}: has no field ${names}`, { field: within, next: 'Leave it out.' })
    return new LongshoreError('invalid_input', `unknown parameter ${names}`, {
      field: issue.keys[0]?.slice(0, 80) ?? '', next: `Allowed: ${allowed.join(', ') || 'no parameters'}.`,
    })
  }
  const field = fieldOf(issue?.path ?? [])
  return new LongshoreError('invalid_input', `${field === '' ? 'the input' : field}: ${issue?.message ?? 'is not allowed'}`, field === '' ? {} : { field })
}

/** As callers write it: `workspace.files[3].path`. */
function fieldOf(path: readonly PropertyKey[]): string {
  return path.map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${String(step)}`)).join('')
}

/** A thrown value for the log. Only these three: ioredis errors carry the failed command with its arguments (G14). */
export function describeError(thrown: unknown): { name: string; message: string; stack?: string | undefined } {
  return thrown instanceof Error ? { name: thrown.name, message: thrown.message, stack: thrown.stack } : { name: 'unknown', message: typeof thrown }
}

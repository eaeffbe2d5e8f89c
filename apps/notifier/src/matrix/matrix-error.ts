import { z } from 'zod'

/** What a homeserver answered instead of what was asked for. Without `status`: no answer at all. */
export class MatrixError extends Error {
  override readonly name = 'MatrixError'
  readonly status: number | undefined
  readonly errcode: string
  readonly retryAfterMs: number | undefined

  constructor(message: string, answer: { status?: number; errcode?: string; retryAfterMs?: number | undefined; cause?: unknown }) {
    super(message, answer.cause === undefined ? undefined : { cause: answer.cause })
    this.status = answer.status
    this.errcode = answer.errcode ?? ''
    this.retryAfterMs = answer.retryAfterMs
  }
}

const ErrorAnswer = z.object({ errcode: z.string().catch(''), error: z.string().catch(''), retry_after_ms: z.number().optional().catch(undefined) }).catch({ errcode: '', error: '' })

/** A homeserver's error from its status, `Retry-After` header (seconds) and body. */
export function matrixErrorFrom(what: string, status: number, retryAfter: string | null, body: unknown): MatrixError {
  const { errcode, error, retry_after_ms: inBody } = ErrorAnswer.parse(body)
  const inHeader = retryAfter === null || Number.isNaN(Number(retryAfter)) ? undefined : Number(retryAfter) * 1_000
  const words = [errcode, error.slice(0, 300)].filter((word) => word !== '').join(' ')
  return new MatrixError(`${what}: ${status} ${words}`, { status, errcode, retryAfterMs: inBody ?? inHeader })
}

export type Trouble =
  /** Not done, for certain. */
  | { kind: 'limited'; afterMs: number }
  | { kind: 'again'; reason: string }
  | { kind: 'blocked'; reason: string }
  | { kind: 'refused'; reason: string }

/** Homeservers may leave the wait out. */
const DEFAULT_RETRY_AFTER_MS = 5_000
/** A wait longer than this is not believed: we ask again. */
const MAX_RETRY_AFTER_MS = 10 * 60_000

/** What a failed call means for what was to be sent. Anything that is no MatrixError is a defect of ours. */
export function troubleOf(error: unknown): Trouble {
  if (!(error instanceof MatrixError)) return { kind: 'refused', reason: `a defect: ${String(error)}` }
  const reason = error.message
  if (error.status === 429) return { kind: 'limited', afterMs: Math.min(Math.max(error.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS, 50), MAX_RETRY_AFTER_MS) }
  if (error.status === 401) return { kind: 'blocked', reason: `the access token is not accepted; set MATRIX_ACCESS_TOKEN to a valid one and restart (${reason})` }
  if (error.status === undefined || error.status >= 500 || error.status === 408) return { kind: 'again', reason }
  return { kind: 'refused', reason }
}

import { z } from 'zod'

/** Every error that a door (MCP, HTTP, CLI) can answer with, and its HTTP status. One table, both doors. */
const HTTP_STATUS = {
  invalid_input: 400,
  unauthorized: 401,
  forbidden: 403,
  origin_forbidden: 403,
  task_not_found: 404, // also for somebody else's task: the answers do not differ (G11)
  unknown_operation: 404,
  file_not_found: 404,
  idempotency_conflict: 409,
  task_over: 409,
  already_answered: 409,
  not_started: 409,
  not_supported: 409,
  payload_too_large: 413,
  budget: 429,
  overloaded: 429,
  internal: 500,
  unavailable: 503,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof HTTP_STATUS
export const ERROR_CODES = Object.keys(HTTP_STATUS) as [ErrorCode, ...ErrorCode[]]
export const ErrorCode = z.enum(ERROR_CODES)

/** An error as a door shows it. `next` is one sentence: what the caller can do. */
export const ErrorBody = z.object({
  error: z.object({ code: ErrorCode, message: z.string(), next: z.string().optional(), field: z.string().optional() }),
})
export type ErrorBody = z.infer<typeof ErrorBody>

/** A refusal that the caller caused or can act on. Anything else thrown is a defect of ours (`internal`). */
export class LongshoreError extends Error {
  override readonly name = 'LongshoreError'
  readonly code: ErrorCode
  readonly next: string | undefined
  readonly field: string | undefined

  constructor(code: ErrorCode, message: string, more: { next?: string; field?: string; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = code
    this.next = more.next
    this.field = more.field
  }

  get status(): number {
    return HTTP_STATUS[this.code]
  }

  toBody(): ErrorBody {
    return {
      error: {
        code: this.code,
        message: this.message,
        ...(this.next === undefined ? {} : { next: this.next }),
        ...(this.field === undefined ? {} : { field: this.field }),
      },
    }
  }
}

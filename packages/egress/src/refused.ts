import type { EgressRefusal } from '@longshore/contracts'

/** Something is not let through. `detail` is for the agent that reads it: it says what to do, and holds no secret. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly reason: EgressRefusal['reason']
  /** Host and port, as far as they are known. */
  readonly host: string

  constructor(reason: EgressRefusal['reason'], host: string, detail: string) {
    super(detail)
    this.reason = reason
    this.host = host
  }
}

const STATUS: Record<EgressRefusal['reason'], number> = { token: 407, policy: 403, address: 403, port: 403, unresolved: 502, unreachable: 502, malformed: 400, busy: 429 }

/** The status that a tool understands best; `isModel`: of a model call, whose client knows no proxies. */
export function statusOf({ reason }: Refused, isModel: boolean): number {
  return isModel && reason === 'token' ? 401 : STATUS[reason]
}

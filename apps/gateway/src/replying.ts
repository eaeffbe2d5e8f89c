import type { Answer, CallOperation } from './call-operation.ts'
import type { Call, Download, Live, Operation } from './operations/operation.ts'

/** Headers of a request that its answer depends on. */
export interface ReplyHeaders { range: string | undefined; lastEventId: string | undefined }

/** The operation with bytes or a stream in place of JSON, if it has them. */
export function replying(operation: Operation, { range, lastEventId }: ReplyHeaders, reply: (made: Download | Live) => void): Operation {
  const { download, live } = operation
  if (download === undefined && live === undefined) return operation
  return {
    ...operation,
    async handle(input, call) {
      if (download !== undefined) reply(await download(input, call, range))
      else if (live !== undefined) reply(await live(input, call, lastEventId))
      return {}
    },
  }
}

/** Where to begin with a log, by the operation that decides who may follow it. */
export async function openLive(callOperation: CallOperation, operation: Operation, input: object, call: Call): Promise<{ live?: Live; answer: Answer }> {
  let made: Download | Live | undefined
  const answer = await callOperation(replying(operation, { range: undefined, lastEventId: undefined }, (reply) => { made = reply }), input, call)
  return made !== undefined && 'kind' in made ? { answer, live: made } : { answer }
}

import type { RequestPermissionRequest, RequestPermissionResponse } from '@agentclientprotocol/sdk'
import type { AgentAsk } from '@longshore/contracts'
import { answerWith } from './permission.ts'
import { answerKey, type Sender } from './sender.ts'

const CANCELLED: RequestPermissionResponse = { outcome: { outcome: 'cancelled' } }

/** As its agent numbers it. */
export type RequestId = string | number | null

/** A request for permission. `signal`: the agent does not wait any more. */
export interface Request { id: RequestId; params: RequestPermissionRequest; signal: AbortSignal }

/** The requests of one execution for which an answer is not there yet. */
export interface Waiting {
  /** Resolves with the answer, whoever gives it. */
  add(request: Request, shown: Pick<AgentAsk, 'question' | 'tool' | 'subjects'>): Promise<RequestPermissionResponse>
  /** The oldest first. */
  list(): AgentAsk[]
}

/** @param pipeId an agent that is started again counts its requests anew: the name of the execution makes them others */
export function createWaiting(pipeId: string, sender: Pick<Sender, 'send'>, changed: () => void): Waiting {
  const waiting = new Map<string, AgentAsk>()
  return {
    list: () => [...waiting.values()],
    add: ({ id, params, signal }, shown) => {
      if (signal.aborted) return Promise.resolve(CANCELLED)
      const name = `${pipeId} ${JSON.stringify(id)}`
      const { promise, resolve } = Promise.withResolvers<RequestPermissionResponse>()
      let isTaken = false
      const end = (answer: RequestPermissionResponse): void => {
        isTaken = true
        if (waiting.delete(name)) changed()
        resolve(answer)
      }
      const answer = async (choice: string | undefined): Promise<'answered' | 'gone'> => {
        if (isTaken) return 'gone'
        isTaken = true
        const said = answerWith(params, choice === 'allow' || choice === 'always' ? 'allow' : 'deny')
        await give(sender, id, said).catch((error: unknown) => {
          isTaken = signal.aborted
          throw error
        })
        end(said)
        return 'answered'
      }
      signal.addEventListener('abort', () => end(CANCELLED), { once: true })
      waiting.set(name, { id: name, kind: 'permission', choices: [], freeText: false, multiple: false, ...shown, answer: ({ choices: [choice] }) => answer(choice) })
      changed()
      return promise
    },
  }
}

/** Under the key that the client library's own answer has, which then is known to be there: it is sent once. */
export async function give(sender: Pick<Sender, 'send'>, id: RequestId, result: RequestPermissionResponse): Promise<void> {
  if (id !== null) await sender.send(answerKey(id), { jsonrpc: '2.0', id, result })
}

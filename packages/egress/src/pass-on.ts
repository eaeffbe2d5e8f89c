import { type ClientRequest, type IncomingMessage, request as plainRequest, type RequestOptions, type ServerResponse } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { forwarded, hasBody } from './headers.ts'

/** TRACE would show the agent what was put into its request; CONNECT has a way of its own. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
export const isForwardable = (method: string | undefined): boolean => METHODS.has(method ?? '')

/**
 * Sends a request on and its answer back, piece by piece as they come, at the pace of the slower side. An answer may be silent for as long
 * as it likes: whoever asked knows how long to wait. Rejects while nothing has been answered yet; after that both sides are cut.
 */
export async function passOn(req: IncomingMessage, res: ServerResponse, url: Pick<URL, 'protocol'>, options: RequestOptions): Promise<void> {
  const outgoing = (url.protocol === 'https:' ? tlsRequest : plainRequest)({ ...options, method: req.method, setHost: false })
  const leave = (): void => void outgoing.destroy()
  res.once('close', leave)
  const answer = await answerOf(req, outgoing).catch((error: unknown) => res.destroyed ? undefined : Promise.reject(error))
  if (answer === undefined) return // nobody waits for it any more
  answer.once('error', () => res.destroy())
  answer.once('aborted', () => res.destroy())
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, forwarded(answer.headers))
  res.flushHeaders()
  answer.pipe(res)
  await new Promise<void>((resolve) => res.once('close', resolve))
}

function answerOf(req: IncomingMessage, outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve)
    outgoing.on('error', reject)
    outgoing.once('close', () => reject(new Error('closed without an answer')))
    outgoing.once('socket', (socket) => socket.setKeepAlive(true, 30_000))
    req.once('error', () => outgoing.destroy())
    req.once('aborted', () => outgoing.destroy())
    if (hasBody(req.headers)) req.pipe(outgoing)
    else outgoing.end()
  })
}

import { LongshoreError, TaskId } from '@longshore/contracts'
import type { SubscriptionOwner } from '@longshore/ledger'

import type { Call } from '../operations/operation.ts'
import type { Line } from './mcp-listen.ts'
import type { OldClientsDeps } from './old-clients.ts'
import { pullFeed } from './pull-feed.ts'
import { taskIdOf } from './task-uri.ts'

const encoder = new TextEncoder()

/**
 * The stream on which a session is told of updates. Most old clients open one whether they subscribe or not, so where there is no room for it they hear
 * that there is none, which they take.
 */
export async function openUpdates(owner: SubscriptionOwner, call: Call, line: Line, deps: OldClientsDeps): Promise<Response | undefined> {
  const closing = new AbortController()
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const write = (text: string) => { if (!closing.signal.aborted) controller?.enqueue(encoder.encode(text)) }
  let leave: () => void
  try {
    leave = deps.live.hub.admit({ caller: call.caller, kind: 'mcp', recheck: () => line.recheck(), beat: () => write(': \n\n'), cut: () => line.end() })
  } catch (error) {
    if (error instanceof LongshoreError) return undefined
    throw error
  }
  const body = new ReadableStream<Uint8Array>({
    start: (made) => { controller = made },
    cancel: () => closing.abort(),
  })
  closing.signal.addEventListener('abort', leave)
  // Its first bytes tell the client that it is open.
  write(': \n\n')
  const tell = (uri: string) => write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri } })}\n\n`)
  follow(owner, { tell, line }, closing.signal, deps).catch((error: unknown) => deps.log.debug({ reason: String(error) }, 'the subscriptions of a session are not followed any more'))
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no', 'mcp-session-id': owner.session } })
}

interface Client { tell: (uri: string) => void; line: Line }

/** Follows whatever the session is subscribed to, as that changes. */
async function follow(owner: SubscriptionOwner, client: Client, signal: AbortSignal, { live, doorbell, subscriptions, pollMs }: OldClientsDeps): Promise<void> {
  const pulls = new Map<string, { stop(): void }>()
  const bell = await doorbell.listen(subscriptions.topic(owner))
  try {
    while (!signal.aborted) {
      const wanted = await subscriptions.list(owner).catch(() => undefined)
      if (wanted !== undefined) reconcile(pulls, wanted, client, live)
      await bell.next(pollMs, signal)
    }
  } finally {
    for (const pull of pulls.values()) pull.stop()
    await bell.close()
  }
}

function reconcile(pulls: Map<string, { stop(): void }>, wanted: ReadonlyMap<string, string>, { tell, line }: Client, { join, log }: OldClientsDeps['live']): void {
  for (const [uri, pull] of pulls) {
    if (wanted.has(uri)) continue
    pull.stop()
    pulls.delete(uri)
  }
  for (const [uri, cursor] of wanted) {
    const topic = TaskId.safeParse(taskIdOf(uri)).data
    if (topic === undefined || pulls.has(uri)) continue
    pulls.set(uri, pullFeed({
      join, topic, cursor,
      take: async ({ bytes, isLast }) => {
        if (bytes.length > 0) tell(uri)
        await line.room()
        return !isLast
      },
      onError: (error) => log.debug({ topic, reason: String(error) }, 'a log could not be read for who subscribed; trying again'),
    }))
  }
}

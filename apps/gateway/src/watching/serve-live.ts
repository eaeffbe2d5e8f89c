import type { ServerResponse } from 'node:http'

import { type Log, LongshoreError } from '@longshore/contracts'

import { describeError, toDoorError } from '../door-error.ts'
import type { Call, Live } from '../operations/operation.ts'
import type { JoinFeed } from './feed.ts'
import { HEARTBEAT, placeFrame, retryFrame, STREAM_EVENTS } from './frames.ts'
import type { CutReason, Hub } from './hub.ts'
import { startReader } from './reader.ts'

export interface LiveDeps { hub: Hub; join: JoinFeed; stallMs: number; random: () => number; log: Log }

/** How long readers wait before they come back (ms). */
const RETRY_MS = 1_000

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  // Caches keep it, compressing or buffering proxies hold it back: told not to.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
}

/** Answers with a stream of server-sent events. @throws LongshoreError overloaded, unavailable before anything was sent */
export function serveLive(response: ServerResponse, live: Live, call: Call, recheck: () => Promise<unknown>, deps: LiveDeps): void {
  if (live.isOver === true) return void response.writeHead(204, { 'cache-control': 'no-store' }).end()
  if (response.destroyed) return
  const { hub, join, stallMs, random, log } = deps
  const leave = hub.admit({
    caller: call.caller, kind: live.topic === 'fleet' ? 'fleet' : 'task', recheck,
    beat: () => reader.remark(HEARTBEAT),
    cut: (reason) => reader.end(...lastWords(reason, random)),
  })
  response.once('close', leave)
  response.writeHead(200, HEADERS)
  response.write(retryFrame(RETRY_MS) + (live.cursor === '0' ? '' : placeFrame(live.cursor)))
  const reader = startReader({
    join, topic: live.topic, cursor: live.cursor, out: response, stallMs,
    onStall: () => log.info({ topic: live.topic, caller: call.caller.keyId, stall_ms: stallMs }, 'a reader of events takes nothing: it is cut off'),
    onError: (error) => {
      const { code } = toDoorError(error)
      log[code === 'internal' ? 'error' : 'debug']({ topic: live.topic, code, err: describeError(error) }, 'a log could not be read for who follows it; trying again')
    },
  })
}

/** After a shutdown readers come back spread over some seconds, not all at once. */
function lastWords(reason: CutReason, random: () => number): [string, object, string?] {
  if (reason === 'key_revoked') return [STREAM_EVENTS.end, { reason, message: new LongshoreError('unauthorized', 'the API key is not good any more').message }]
  return [STREAM_EVENTS.reconnect, { reason, message: 'this gateway stops; go on from the cursor' }, retryFrame(RETRY_MS / 2 + random() * 2 * RETRY_MS)]
}

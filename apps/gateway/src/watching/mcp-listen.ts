import { AsyncLocalStorage } from 'node:async_hooks'

import { LongshoreError } from '@longshore/contracts'
import type { ServerEvent, ServerEventBus } from '@modelcontextprotocol/server'
import { z } from 'zod'

import type { Call, Live } from '../operations/operation.ts'
import { pullFeed } from './pull-feed.ts'
import type { LiveDeps } from './serve-live.ts'
import { taskIdOf, taskUri } from './task-uri.ts'

/** What a door knows of the connection that a request came through. */
export interface Line {
  /** @throws LongshoreError unauthorized when its key is no longer good */
  recheck(): Promise<unknown>
  /** Ends the response as it stands. */
  end(): void
  /** When what was written is taken, or nobody is there to take it: what is told before that heaps up. */
  room(): Promise<unknown>
}

/** `subscriptions/listen` of the 2026-07-28 revision, as far as it is about tasks. */
const Listen = z.looseObject({
  id: z.union([z.string(), z.number()]),
  method: z.literal('subscriptions/listen'),
  params: z.looseObject({ notifications: z.looseObject({ resourceSubscriptions: z.array(z.string()).optional() }) }),
})
type Listen = z.infer<typeof Listen>

/** Each costs a look at the log now and then. */
const MAX_SUBSCRIPTIONS = 100

interface Stream { lives: readonly Live[]; isOpen: boolean; leave: () => void; line: Line }

export interface ListenStreams {
  bus: ServerEventBus
  /**
   * Serves a request; one that listens hears of the tasks that its caller may see, and of no others (G11): the acknowledgement names which.
   * @param open whether the caller may follow a task, and where its log stands
   * @param serve the SDK's handler
   */
  serve(body: unknown, call: Call, line: Line, open: (taskId: string) => Promise<Live | undefined>, serve: (body: unknown) => Promise<Response>): Promise<Response>
}

/**
 * The SDK asks its bus for each stream's events while it serves the request that opens it. Every stream gets a source of its own, which
 * follows the logs as all readers here do: from any replica's events, over lost messages, and with one read for who follows the same task.
 */
export function createListenStreams({ hub, join, log }: LiveDeps): ListenStreams {
  const current = new AsyncLocalStorage<Stream>()
  const follow = ({ lives, leave, line }: Stream, listener: (event: ServerEvent) => void): (() => void) => {
    const pulls = lives.map(({ topic, cursor }) => pullFeed({
      join, topic, cursor,
      take: async ({ bytes, isLast }) => {
        if (bytes.length > 0) listener({ kind: 'resource_updated', uri: taskUri(topic) })
        await line.room()
        return !isLast
      },
      onError: (error) => log.debug({ topic, reason: String(error) }, 'a log could not be read for who listens; trying again'),
    }))
    return () => {
      leave()
      for (const pull of pulls) pull.stop()
    }
  }
  return {
    bus: {
      // Nothing is told here: streams follow the logs.
      publish: () => undefined,
      subscribe: (listener) => {
        const stream = current.getStore()
        if (stream === undefined) return () => undefined
        stream.isOpen = true
        return follow(stream, listener)
      },
    },
    async serve(body, call, line, open, serve) {
      const listen = Listen.safeParse(body)
      if (!listen.success) return serve(body)
      const uris = listen.data.params.notifications.resourceSubscriptions ?? []
      if (uris.length > MAX_SUBSCRIPTIONS) return refuse(listen.data.id, new LongshoreError('invalid_input', `resourceSubscriptions: got ${uris.length}, allowed: at most ${MAX_SUBSCRIPTIONS} in one stream`))
      try {
        const lives = await Promise.all(uris.map((uri) => open(taskIdOf(uri) ?? '')))
        const leave = hub.admit({ caller: call.caller, kind: 'mcp', recheck: () => line.recheck(), beat: () => undefined, cut: () => line.end() })
        const stream: Stream = { lives: lives.filter((live) => live !== undefined), isOpen: false, leave, line }
        try {
          return await current.run(stream, () => serve(withSubscriptions(listen.data, uris.filter((_, i) => lives[i] !== undefined))))
        } finally {
          // Refused by the protocol, or nothing is left to listen to.
          if (!stream.isOpen) leave()
        }
      } catch (error) {
        if (error instanceof LongshoreError) return refuse(listen.data.id, error)
        throw error
      }
    },
  }
}

function withSubscriptions(listen: Listen, resourceSubscriptions: string[]): Listen {
  return { ...listen, params: { ...listen.params, notifications: { ...listen.params.notifications, resourceSubscriptions } } }
}

const INVALID_PARAMS = -32602
const INTERNAL_ERROR = -32603

function refuse(id: string | number, { code, message, status }: LongshoreError): Response {
  return Response.json({ jsonrpc: '2.0', id, error: { code: code === 'invalid_input' ? INVALID_PARAMS : INTERNAL_ERROR, message: `${message} (${code})` } }, { status })
}

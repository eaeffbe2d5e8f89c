import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { createBullBoard } from '@bull-board/api'
import { HonoAdapter } from '@bull-board/hono'
import { serveStatic } from '@hono/node-server/serve-static'
import { Queue } from 'bullmq'
import { Hono } from 'hono'
import type { Redis } from 'ioredis'

import { type Log, type DeploymentId, MODES } from '@longshore/contracts'
import { listEngines, queueKeys, queueName } from '@longshore/queue'
import { visible } from './pages/words.ts'

export const QUEUES_PATH = '/queues'

export interface QueueBoard { routes: Hono; close(): Promise<void> }

/**
 * Bull Board over the deployment's queues: one per mode, and those of the engines that are known when a page is asked for.
 * A ticket shows its task's title; what is done to one here harms no task (decision 2).
 */
export function createQueueBoard(options: { redis: Redis; deployment: DeploymentId; isWritable: boolean; log: Log }): QueueBoard {
  const { redis, deployment, isWritable, log } = options
  const queues = new Map<string, Queue>()
  const adapterOf = (name: string, description: string) => {
    // Only looks: the settings of a queue are its producer's.
    const queue = new Queue(name, { connection: redis, prefix: queueKeys(deployment).prefix, skipMetasUpdate: true })
    queue.on('error', (error) => log.debug({ reason: error.message, queue: name }, 'queue connection'))
    queues.set(name, queue)
    return new BullMQAdapter(queue, { readOnlyMode: !isWritable, description })
  }
  const server = new HonoAdapter(serveStatic).setBasePath(QUEUES_PATH)
  const board = createBullBoard({
    queues: MODES.map((mode) => adapterOf(queueName(mode), `tickets of ${mode} mode`)),
    serverAdapter: server,
    options: {
      uiConfig: {
        boardTitle: 'Longshore', hideDocsLink: true,
        environment: { label: isWritable ? deployment : `${deployment} · read-only`, color: '#0f5e7d', textColor: '#ffffff' },
        miscLinks: [{ text: 'Tasks', url: '/' }],
      },
    },
  })
  const followEngines = async () => {
    const known = new Set<string>(MODES.map((mode) => queueName(mode)))
    for (const { mode, engineId, queue } of await listEngines(redis, deployment)) {
      known.add(queue)
      if (!queues.has(queue)) board.addQueue(adapterOf(queue, `tickets of ${mode} mode for the engine ${visible(engineId)}`))
    }
    for (const [name, queue] of queues) {
      if (known.has(name)) continue
      board.removeQueue(name)
      queues.delete(name)
      await queue.close()
    }
  }
  const routes = new Hono().use('/api/*', async (_, next) => {
    await followEngines()
    await next()
  }).route('/', server.registerPlugin())
  return {
    routes,
    close: async () => void (await Promise.allSettled([...queues.values()].map((queue) => queue.close()))),
  }
}

import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { createBullBoard } from '@bull-board/api'
import { HonoAdapter } from '@bull-board/hono'
import { serveStatic } from '@hono/node-server/serve-static'
import { Queue } from 'bullmq'
import type { Hono } from 'hono'
import type { Redis } from 'ioredis'

import { type Log, type DeploymentId, MODES } from '@longshore/contracts'
import { queueKeys, queueName } from '@longshore/queue'

export const QUEUES_PATH = '/queues'

export interface QueueBoard { routes: Hono; close(): Promise<void> }

/** Bull Board over the deployment's queues. A ticket shows its task's title; what is done to one here harms no task (decision 2). */
export function createQueueBoard(options: { redis: Redis; deployment: DeploymentId; isWritable: boolean; log: Log }): QueueBoard {
  const { redis, deployment, isWritable, log } = options
  const queues = MODES.map((mode) => {
    // Only looks: the settings of a queue are its producer's.
    const queue = new Queue(queueName(mode), { connection: redis, prefix: queueKeys(deployment).prefix, skipMetasUpdate: true })
    queue.on('error', (error) => log.debug({ reason: error.message, mode }, 'queue connection'))
    return queue
  })
  const server = new HonoAdapter(serveStatic).setBasePath(QUEUES_PATH)
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: !isWritable, description: `tickets of ${queue.name} mode` })),
    serverAdapter: server,
    options: {
      uiConfig: {
        boardTitle: 'Longshore', hideDocsLink: true,
        environment: { label: isWritable ? deployment : `${deployment} · read-only`, color: '#0f5e7d', textColor: '#ffffff' },
        miscLinks: [{ text: 'Tasks', url: '/' }],
      },
    },
  })
  return {
    routes: server.registerPlugin(),
    close: async () => void (await Promise.allSettled(queues.map((queue) => queue.close()))),
  }
}

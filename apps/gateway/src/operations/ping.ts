import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { Timestamp, toTimestamp } from './parameters.ts'

/** Whether the gateway answers; touches nothing else. */
export function ping(ports: Ports): Operation {
  return defineOperation({
    name: 'ping',
    title: 'Ping',
    description: 'Answers ok when the gateway is reachable and the key is good.',
    input: z.strictObject({}),
    output: z.object({ status: z.literal('ok'), timestamp: Timestamp }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/ping' },
    isTool: true,
    handle: () => Promise.resolve({ status: 'ok' as const, timestamp: toTimestamp(ports.now()) }),
  })
}

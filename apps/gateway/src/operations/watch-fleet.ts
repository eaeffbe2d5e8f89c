import { LongshoreError } from '@longshore/contracts'
import { z } from 'zod'
import { defineOperation, type Live, type Operation, type Ports } from './operation.ts'

/** Positions of the fleet stream, as Redis writes them. */
const POSITION = /^(?:0|\d{1,20}-\d{1,20})$/
/** Redis fails for a number of more than 64 bits, each time that it is asked. */
const isPosition = (text: string) => POSITION.test(text) && text.split('-').every((part) => BigInt.asUintN(64, BigInt(part)) === BigInt(part))

/** The log of the whole deployment as a stream of server-sent events: for operators, and consumers that follow everything. */
export function watchFleet(ports: Ports): Operation {
  return defineOperation({
    name: 'watch_fleet',
    title: 'Watch everything',
    description: 'The events of all tasks as they come, from a global cursor.',
    input: z.strictObject({ cursor: z.string().max(64).optional().describe('Go on after this event: the id of the last one received. 0: from the earliest that is kept. Default: only what comes from now on. A Last-Event-ID header counts before it.') }),
    output: z.object({}),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'GET', path: '/api/events' },
    isTool: false,
    handle: () => Promise.resolve({}),
    async live({ cursor = 'now' }, _, lastEventId): Promise<Live> {
      const [field, text] = lastEventId === undefined ? ['cursor', cursor] : ['Last-Event-ID', lastEventId]
      if (text === 'now' && field === 'cursor') return { kind: 'live', topic: 'fleet', cursor: await ports.ledger.fleetEnd() }
      if (!isPosition(text)) throw new LongshoreError('invalid_input', `${field} is not one that this server gave out`, { field, next: 'Use the id of an event of this stream, 0 for the earliest that is kept, or leave it out for what comes from now on.' })
      return { kind: 'live', topic: 'fleet', cursor: text }
    },
  })
}

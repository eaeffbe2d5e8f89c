import { Counter, type Registry } from 'prom-client'
import type { Redis } from 'ioredis'

import type { Clock, Log, MatrixAuthority } from '@longshore/contracts'
import type { Ledger } from '@longshore/ledger'
import { createHeartbeats } from '@longshore/queue'
import { createRolloutStore } from '@longshore/rollout'
import type { Settings } from '@longshore/runtime'
import { caller } from '../matrix/client.ts'
import { createOutbox } from '../outbox/outbox.ts'
import { may } from './deeds.ts'
import { createInboxClient } from './inbox-client.ts'
import { createPaceOfPeople } from './pace-of-people.ts'
import { createPatience } from './patience.ts'
import { type Inbound, startInbound } from './start-inbound.ts'

type InboundSettings = Pick<Settings, 'MATRIX_ENABLED' | 'MATRIX_HOMESERVER_URL' | 'MATRIX_ACCESS_TOKEN' | 'MATRIX_USER_ID' | 'MATRIX_AUTHORITY' | 'LONGSHORE_DEPLOYMENT' | 'CANARY_OPENCODE_PERCENT' | 'OPENCODE_SERVER_ENABLED'>
interface Parts { redis: Redis; ledger: Ledger; registry: Registry; log: Log; now: Clock; random: () => number }

const CALL_TIMEOUT_MS = 10_000

/** Starts to listen to Matrix, where somebody is named who may say something; else nothing that is said there is even read. */
export function inboundOf(settings: InboundSettings, { redis, ledger, registry, log, now, random }: Parts): Inbound | undefined {
  const { MATRIX_HOMESERVER_URL: baseUrl, MATRIX_ACCESS_TOKEN: token, MATRIX_USER_ID: botId, MATRIX_AUTHORITY: authority, LONGSHORE_DEPLOYMENT: deployment } = settings
  if (!settings.MATRIX_ENABLED || baseUrl === undefined || token === undefined || botId === undefined || authority === undefined || authority.everywhere.size + authority.rooms.size === 0) return undefined
  const deeds = new Counter({ name: 'longshore_matrix_commands_total', help: 'What people asked for from Matrix, by what became of it.', labelNames: ['command', 'result'], registers: [registry] })
  const [rollout, heartbeats, outbox] = [createRolloutStore(redis, deployment), createHeartbeats(redis, deployment), createOutbox({ redis, deployment, sink: 'matrix' })]
  return startInbound({
    redis, deployment, botId, authority, log, random,
    connect: (signal) => createInboxClient(caller({ baseUrl, token, timeoutMs: CALL_TIMEOUT_MS, signal }), botId),
    ground: { ledger, workers: () => heartbeats.list(), rollout: { get: () => rollout.get(settings), set: (percent, by, wish) => rollout.set(percent, by, wish) } },
    pace: createPaceOfPeople(now), patience: createPatience(now),
    say: (reply) => outbox.say(reply),
    onDeed: (command, result) => deeds.inc({ command, result }),
  })
}

/** Of whom is named everywhere: who may speak in rooms of ours, where all others only read, and to whom questions are put. */
export function peopleOf(authority: MatrixAuthority | undefined): { speakers: string[]; answerers: string[] } {
  const named = [...(authority?.everywhere ?? [])]
  return { speakers: named.map(([userId]) => userId), answerers: named.filter(([, role]) => may({ here: role, everywhere: role }, 'react')).map(([userId]) => userId) }
}

import type { Redis } from 'ioredis'

import type { Clock, Log } from '@longshore/contracts'
import type { Settings } from '@longshore/runtime'
import type { KeptFiles } from './kept-files.ts'
import { lettaSinkOf, type LettaSettings } from './letta/letta-sink-of.ts'
import { createLogSink } from './log-sink.ts'
import { createMatrixClient } from './matrix/client.ts'
import { createMatrixSink } from './matrix/matrix-sink.ts'
import type { Sink } from './sink.ts'
import { webhookSinkOf, type WebhookSettings } from './webhook/webhook-sink-of.ts'

type MatrixSettings = Pick<Settings, 'MATRIX_ENABLED' | 'MATRIX_HOMESERVER_URL' | 'MATRIX_ACCESS_TOKEN' | 'MATRIX_USER_ID' | 'MATRIX_ROOM_ID' | 'MATRIX_ROOMS' | 'MATRIX_DEFAULT_HUMAN_OBSERVERS' | 'LONGSHORE_DEPLOYMENT'>

/** A homeserver that takes longer than this is asked again, under the same transaction id. */
const CALL_TIMEOUT_MS = 10_000

/** `redis`: what a sink has to remember beyond its outbox. */
export interface SinkDeps { log: Log; now: Clock; random: () => number; signal: AbortSignal; redis: Redis; files: KeptFiles | undefined }

/** Every sink that the settings ask for, each with an outbox of its own; the log where there is no Matrix. */
export function sinksOf(settings: MatrixSettings & LettaSettings & WebhookSettings, deps: SinkDeps): Sink[] {
  return [matrixSinkOf(settings, deps) ?? createLogSink(deps.log, deps.now), lettaSinkOf(settings, deps), webhookSinkOf(settings, deps)].filter((sink) => sink !== undefined)
}

function matrixSinkOf(settings: MatrixSettings, { log, now, signal, files }: SinkDeps): Sink | undefined {
  const { MATRIX_HOMESERVER_URL: baseUrl, MATRIX_ACCESS_TOKEN: token, MATRIX_USER_ID: botId } = settings
  if (!settings.MATRIX_ENABLED || baseUrl === undefined || token === undefined || botId === undefined) return undefined
  return createMatrixSink({
    client: createMatrixClient({ baseUrl, token, timeoutMs: CALL_TIMEOUT_MS, signal }),
    plan: {
      per: settings.MATRIX_ROOMS ?? 'agent', given: settings.MATRIX_ROOM_ID, deployment: settings.LONGSHORE_DEPLOYMENT, botId, observers: settings.MATRIX_DEFAULT_HUMAN_OBSERVERS, speakers: [], answerers: [],
    },
    files,
    log,
    now,
  })
}

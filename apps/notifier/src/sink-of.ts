import type { Clock, Log } from '@longshore/contracts'
import type { Settings } from '@longshore/runtime'
import { createLogSink } from './log-sink.ts'
import { createMatrixClient } from './matrix/client.ts'
import { createMatrixSink } from './matrix/matrix-sink.ts'
import type { Sink } from './sink.ts'

type MatrixSettings = Pick<Settings, 'MATRIX_ENABLED' | 'MATRIX_HOMESERVER_URL' | 'MATRIX_ACCESS_TOKEN' | 'MATRIX_USER_ID' | 'MATRIX_ROOM_ID' | 'MATRIX_DEFAULT_HUMAN_OBSERVERS' | 'LONGSHORE_DEPLOYMENT'>

/** A homeserver that takes longer than this is asked again, under the same transaction id. */
const CALL_TIMEOUT_MS = 10_000

/** The sink that the settings ask for: Matrix where it is enabled, else the log. */
export function sinkOf(settings: MatrixSettings, { log, now, signal }: { log: Log; now: Clock; signal: AbortSignal }): Sink {
  const { MATRIX_HOMESERVER_URL: baseUrl, MATRIX_ACCESS_TOKEN: token, MATRIX_USER_ID: botId } = settings
  if (!settings.MATRIX_ENABLED || baseUrl === undefined || token === undefined || botId === undefined) return createLogSink(log, now)
  return createMatrixSink({
    client: createMatrixClient({ baseUrl, token, timeoutMs: CALL_TIMEOUT_MS, signal }),
    wish: { given: settings.MATRIX_ROOM_ID, deployment: settings.LONGSHORE_DEPLOYMENT, botId, observers: settings.MATRIX_DEFAULT_HUMAN_OBSERVERS },
    log,
    now,
  })
}

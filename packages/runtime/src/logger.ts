import { pino } from 'pino'
import pretty from 'pino-pretty'

import type { Log } from '@longshore/contracts'

export interface LoggerOptions {
  /** `gateway`, `worker`, `notifier`, `console`: field `app` of each line. */
  app: string
  level: 'debug' | 'info' | 'warn' | 'error'
  format: 'json' | 'pretty'
}

// Names under which secrets could reach a line by accident; values of any depth-1 field so named are hidden (G14).
const SECRET_FIELDS = ['password', 'token', 'authorization', 'key', 'secret', 'apiKey', 'access_token']

/** Writes to standard output, one line per record. The only place that knows pino. */
export function createLogger(options: LoggerOptions): Log {
  const settings = {
    level: options.level,
    base: { app: options.app },
    redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[hidden]' },
    serializers: { err: describeError },
    timestamp: pino.stdTimeFunctions.isoTime,
  }
  const stream = options.format === 'pretty' ? pretty({ colorize: true, ignore: 'pid,hostname,app', translateTime: 'SYS:HH:MM:ss', sync: true }) : undefined
  return stream === undefined ? pino(settings) : pino(settings, stream)
}

/** Nothing else of an error is written: ioredis hangs the failed command with its arguments (prompts, keys) on it (G14). */
function describeError(error: unknown): unknown {
  return error instanceof Error ? { type: error.name, message: error.message, stack: error.stack } : error
}

import { plain, type Terminal } from '../terminal.ts'

/** The width of the longest name of a program. */
const NAME_WIDTH = 8
const COLOURS = ['cyan', 'magenta', 'blue', 'green', 'yellow'] as const
const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const
/** What the prefix says already, and what is the same on every line. */
const LEFT_OUT = new Set(['level', 'time', 'app', 'pid', 'hostname', 'msg', 'err', 'v', 'worker', 'deployment'])

export interface LogRecord { level: number; time: Date; message: string; fields: Readonly<Record<string, unknown>>; error?: string }

/** One line of a program: a pino record, or words that it printed by other means (a warning of Node, a crash). */
export function parseLogLine(line: string, now: Date): LogRecord {
  const record = parseObject(line)
  if (record === undefined || typeof record['level'] !== 'number') return { level: LEVELS.info, time: now, message: line, fields: {} }
  const time = new Date(typeof record['time'] === 'string' || typeof record['time'] === 'number' ? record['time'] : now)
  const error = errorOf(record['err'])
  return {
    level: record['level'],
    time: Number.isNaN(time.getTime()) ? now : time,
    message: typeof record['msg'] === 'string' ? record['msg'] : '',
    fields: Object.fromEntries(Object.entries(record).filter(([name]) => !LEFT_OUT.has(name))),
    ...(error === undefined ? {} : { error }),
  }
}

/** `12:03:44 worker    message  field=value`: the time and the fields step back, the name has a colour of its own. */
export function formatLogLine(record: LogRecord, name: string, index: number, paint: Terminal['paint']): string {
  const fields = Object.entries(record.fields).map(([field, value]) => `${field}=${shown(value)}`).join(' ')
  return [
    prefix(record.time, name, index, paint),
    ...(record.level >= LEVELS.error ? [paint('red', 'error')] : []),
    ...(record.level >= LEVELS.warn && record.level < LEVELS.error ? [paint('yellow', 'warning')] : []),
    plain(record.message, 500),
    ...(record.error === undefined ? [] : [plain(record.error, 500)]),
    ...(fields === '' ? [] : [paint('dim', plain(fields, 500))]),
  ].join(' ')
}

/** What every line of a program begins with. */
export function prefix(time: Date, name: string, index: number, paint: Terminal['paint']): string {
  return `${paint('dim', time.toTimeString().slice(0, 8))} ${paint(COLOURS[index % COLOURS.length] ?? 'cyan', name.padEnd(NAME_WIDTH))} `
}

function shown(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
}

function errorOf(err: unknown): string | undefined {
  if (typeof err !== 'object' || err === null || !('message' in err)) return undefined
  return `(${String(err.message)})`
}

function parseObject(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return undefined
  }
}

import { stripVTControlCharacters, styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** Where a command speaks to people. Handed in by `main.ts`; tests read what was said. */
export interface Terminal {
  /** What was asked for: standard output. */
  say(line?: string): void
  /** What went wrong: standard error. */
  complain(line: string): void
  /** Colours a text, or not: NO_COLOR, a pipe. */
  paint(style: Style, text: string): string
}

interface Sink { write(text: string): unknown }

/** A terminal over two streams. */
export function createTerminal(out: Sink, err: Sink, hasColours: boolean): Terminal {
  return {
    say: (line = '') => void out.write(`${line}\n`),
    complain: (line) => void err.write(`${line}\n`),
    paint: (style, text) => hasColours ? styleText(style, text, { validateStream: false }) : text,
  }
}

/** Whether colours are wanted (https://no-color.org, and FORCE_COLOR as Node reads it). */
export function wantsColours(env: Readonly<Record<string, string | undefined>>, isTerminal: boolean): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false
  const forced = env['FORCE_COLOR']
  if (forced !== undefined) return forced !== '0'
  return isTerminal && env['TERM'] !== 'dumb'
}

// C0, DEL, C1, and the bidi overrides: what could move the cursor, or make a text read as another (G14).
const CONTROL = /[\p{Cc}\u202A-\u202E\u2066-\u2069]/gu

/** A text from outside on one line, without anything a terminal would obey; cut to `max` characters. */
export function plain(text: string, max = 200): string {
  const clean = text.replaceAll(/\s*[\r\n]+\s*/g, ' ⏎ ').replaceAll(CONTROL, '')
  return clean.length <= max ? clean : `${clean.slice(0, max - 1).toWellFormed()}…`
}

/** A line that somebody else wrote, whole, without anything a terminal would obey. */
export function harmless(line: string): string {
  return line.replaceAll('\t', '    ').replaceAll(CONTROL, '')
}

/** A duration in milliseconds as people say it: 850 ms, 12.3 s, 4 min 5 s, 2 h 5 min, 3 d 4 h. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  if (seconds < 3_600) return inTwo(seconds, 60, 'min', 's')
  const minutes = Math.round(ms / 60_000)
  return minutes < 24 * 60 ? inTwo(minutes, 60, 'h', 'min') : inTwo(Math.round(minutes / 60), 24, 'd', 'h')
}

const inTwo = (n: number, per: number, large: string, small: string): string => `${Math.floor(n / per)} ${large}${n % per === 0 ? '' : ` ${n % per} ${small}`}`

/** Rows under each other with columns as wide as their longest cell; the last column is left as it is. Colours take no room. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, widthOf(cell))
  return rows.map((row) => row.map((cell, i) => i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - widthOf(cell))).join('  '))
}

const widthOf = (cell: string): number => stripVTControlCharacters(cell).length

import type { TaskState } from '@longshore/contracts'
import { escapeHtml } from './safe-text.ts'

/** What a notice says, twice: `html` has the same words as `plain`. Both are safe to show as they are. */
export interface Rendered { plain: string; html: string }

type Look = 'bold' | 'code' | 'quote' | 'text'
/** A line of a notice: clean text and how it looks. */
export interface Line { look: Look; text: string }

export const bold = (text: string): Line => ({ look: 'bold', text })
export const code = (text: string): Line => ({ look: 'code', text })
export const quote = (text: string): Line => ({ look: 'quote', text })
export const text = (words: string): Line => ({ look: 'text', text: words })

const HTML: Readonly<Record<Look, (escaped: string) => string>> = {
  bold: (escaped) => `<b>${escaped}</b>`,
  code: (escaped) => `<code>${escaped}</code>`,
  quote: (escaped) => `<blockquote>${escaped.replaceAll('\n', '<br>')}</blockquote>`,
  text: (escaped) => escaped,
}

/** The only place where a notice's HTML is made: everything is escaped, the tags are b, br, code and blockquote. */
export function renderLines(lines: readonly Line[]): Rendered {
  return {
    plain: lines.map((line) => (line.look === 'quote' ? line.text.replace(/^/gm, '> ') : line.text)).join('\n'),
    // A blockquote is a block: a <br> beside it would be an empty line.
    html: lines.map((line) => HTML[line.look](escapeHtml(line.text))).join('<br>').replace(/<br>(?=<blockquote>)|(?<=<\/blockquote>)<br>/g, ''),
  }
}

const STATE_NAMES: Readonly<Record<TaskState, string>> = {
  queued: '🕓 Queued',
  running: '▶️ Running',
  paused: '⏸️ Paused',
  input_required: '✋ Needs an answer',
  completed: '✅ Completed',
  failed: '❌ Failed',
  timeout: '⏰ Timed out',
  cancelled: '🚫 Cancelled',
}
export const stateName = (state: TaskState): string => STATE_NAMES[state]

/** `1 file`, `2 files`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`
/** `12,345`. */
export const grouped = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ',')
/** Micro-units of the provider's currency as people write money; never through a float. */
export function moneyText(micros: number): string {
  const fraction = String(micros % 1_000_000).padStart(6, '0')
  return `${grouped(Math.floor(micros / 1_000_000))}.${fraction.slice(0, 2)}${fraction.slice(2).replace(/0+$/, '')}`
}
/** Joins what there is with a middle dot. */
export const dotted = (...parts: readonly (string | undefined)[]): string => parts.filter((part) => part !== undefined && part !== '').join(' · ')

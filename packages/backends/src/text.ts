import { TASK_TOKEN } from '@longshore/contracts'

/** Cutting and cleaning text that others wrote, so that it fits into events and carries no secret. */

/** What `clip` puts in place of the rest. */
const CUT = '…'
const REDACTED = '[redacted]'
/** Less of a secret's beginning tells nobody anything: many begin alike, and so do many words. */
const LEAST_BEGINNING = 4
/** A token of a task, which is shorter than this; or a character. */
const BEGUN = /(?:\bl(?:s(?:e(?:-[0-9a-z-]*)?)?)?|[\uD800-\uDBFF])$/
const MAX_TOKEN = 120

/** The longest beginning of `text` whose JSON form is at most `maxBytes` long; never half a character. */
function headOf(text: string, maxBytes: number): string {
  let head = text.slice(0, maxBytes)
  for (let bytes = jsonBytes(head); bytes > maxBytes; bytes = jsonBytes(head)) {
    head = head.slice(0, Math.min(head.length - 1, Math.floor((head.length * maxBytes) / bytes)))
  }
  return /[\uD800-\uDBFF]$/.test(head) && head.length < text.length ? head.slice(0, -1) : head
}

/** `text` if it fits, else its beginning and an ellipsis. */
export function clip(text: string, maxBytes: number): string {
  const head = headOf(text, maxBytes)
  return (head.length === text.length ? text : `${head}${CUT}`).toWellFormed()
}

/** `text` in pieces, each at most `maxBytes` long in its JSON form. */
export function piecesOf(text: string, maxBytes: number): string[] {
  const pieces: string[] = []
  for (let rest = text; rest !== '';) {
    const head = headOf(rest, maxBytes) || rest.slice(0, 1)
    pieces.push(head.toWellFormed())
    rest = rest.slice(head.length)
  }
  return pieces
}

/** Replaces known secrets, and tokens of tasks, whose values nobody keeps. A guard-rail, not a boundary (G14): an agent can always encode one. Short values are no secrets. */
export interface Redactor {
  (text: string): string
  /** How much of a text that still grows can be told: what may be the beginning of a secret, and half a character, waits for the rest. */
  clearOf(text: string): number
}

export function redactor(secrets: readonly string[]): Redactor {
  // The longest first: of one that begins with another the rest would stay.
  const known = secrets.filter((secret) => secret.length >= 8).toSorted((a, b) => b.length - a.length)
  const clearOf = (text: string): number => known.reduce((clear, secret) => Math.min(clear, text.length - overlap(text, secret)), text.length - (BEGUN.exec(text.slice(-MAX_TOKEN))?.[0].length ?? 0))
  const whole = (text: string): string => known.reduce((clean, secret) => clean.replaceAll(secret, REDACTED), text.replaceAll(TASK_TOKEN, REDACTED))
  const redact = (text: string): string => {
    const clean = whole(text)
    const head = clean.slice(0, -CUT.length)
    const clear = clean.endsWith(CUT) ? clearOf(head) : head.length
    return head.length - clear < LEAST_BEGINNING ? clean : `${head.slice(0, clear)}${REDACTED}${CUT}` // `clip` may have cut one in two
  }
  return Object.assign(redact, { clearOf })
}

/** How long the longest end of `text` is with which `secret` begins. */
function overlap(text: string, secret: string): number {
  let length = Math.min(text.length, secret.length)
  while (!text.endsWith(secret.slice(0, length))) length -= 1
  return length
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) - 2
}

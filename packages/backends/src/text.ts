import { TASK_TOKEN } from '@longshore/contracts'

/** Cutting and cleaning text that others wrote, so that it fits into events and carries no secret. */

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
  return (head.length === text.length ? text : `${head}…`).toWellFormed()
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
export function redactor(secrets: readonly string[]): (text: string) => string {
  // The longest first: of one that begins with another the rest would stay.
  const known = secrets.filter((secret) => secret.length >= 8).toSorted((a, b) => b.length - a.length)
  return (text) => known.reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), text.replaceAll(TASK_TOKEN, '[redacted]'))
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) - 2
}

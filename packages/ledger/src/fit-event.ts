import { type EventDraft, MAX_EVENT_BYTES } from '@longshore/contracts'

// What the envelope (ids, numbers, type) takes at most.
const ENVELOPE_BYTES = 256
const ROOM = MAX_EVENT_BYTES - ENVELOPE_BYTES
// The worst case of one UTF-16 unit in JSON is six bytes (\u001f).
const SAFE_CHARACTERS = Math.floor(ROOM / 6) - 64

/**
 * Makes every draft fit an event: long output becomes several events with nothing lost,
 * the texts of a tool are cut (the full ones are the agent's own). Lone surrogates become U+FFFD.
 */
export function fitEvents(drafts: readonly EventDraft[]): EventDraft[] {
  return drafts.map(wellFormed).flatMap((draft) => (size(draft) <= ROOM ? [draft] : shrink(draft)))
}

function shrink(draft: EventDraft): EventDraft[] {
  if (draft.type === 'task.output') {
    return pieces(draft.payload.text).map((text) => ({ type: draft.type, payload: { ...draft.payload, text } }))
  }
  return [mapStrings(draft, (text) => (text.length <= 400 ? text : `${text.slice(0, 399)}…`.toWellFormed()))]
}

function wellFormed(draft: EventDraft): EventDraft {
  // JSON.stringify writes lone surrogates, and nothing else, as such an escape (or the text holds one, which costs a copy).
  return /\\ud[89a-f]/i.test(JSON.stringify(draft.payload)) ? mapStrings(draft, (text) => text.toWellFormed()) : draft
}

function mapStrings(draft: EventDraft, change: (text: string) => string): EventDraft {
  return JSON.parse(JSON.stringify(draft), (_, value: unknown) => (typeof value === 'string' ? change(value) : value)) as EventDraft
}

function pieces(text: string): string[] {
  const found: string[] = []
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + SAFE_CHARACTERS, text.length)
    // Never between the halves of a surrogate pair.
    if (to < text.length && isHighSurrogate(text.charCodeAt(to - 1))) to -= 1
    found.push(text.slice(from, to))
    from = to
  }
  return found.length === 0 ? [''] : found
}

function size(draft: EventDraft): number {
  return Buffer.byteLength(JSON.stringify(draft.payload))
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

import type { Client } from './clients.ts'
import type { Directive, Progress } from './script.ts'

/** A part of what one request gets, before it is put on the wire. */
export type Reply =
  | { kind: 'text'; chunks: string[]; waitMs: number; pauseMs: number; goesOn: boolean }
  | { kind: 'tool'; name: string; input: object }
  | { kind: 'status'; code: number }
  | { kind: 'hang' }

export const SCRIPTED_TITLE = 'Scripted task'

/**
 * The answer to a request: what is the client's next turn in the script. `client`: undefined of who offers no tools. `failed(position)` says
 * whether the status directive there has already failed this very conversation. Tools that the request does not offer are answered with words.
 */
export function replyTo(progress: Progress, client: Client | undefined, failed: (position: number) => boolean): Reply[] {
  if (client === undefined) return [said(SCRIPTED_TITLE)]
  const { script } = progress
  let { position } = progress
  let directive = script[position]
  for (; directive?.do === 'status'; directive = script[position]) {
    if (!failed(position)) return [{ kind: 'status', code: directive.code }]
    position += 1
  }
  if (directive === undefined) return [said(closing(script.length))]
  const end = client.turnEnd(script, position)
  // A failure cannot come in the middle of an answer.
  const replies = script.slice(position, end).filter((one) => one.do !== 'status').map((one) => replyWith(one, client))
  const last = replies.at(-1)
  return last?.kind === 'text' ? [...replies.slice(0, -1), { ...last, goesOn: end < script.length }] : replies
}

function replyWith(directive: Directive, client: Client): Reply {
  switch (directive.do) {
    case 'status': return { kind: 'status', code: directive.code }
    case 'say': return said(directive.text)
    case 'sleep': return { ...said(`[scripted] waited ${directive.ms} ms. `), waitMs: directive.ms }
    case 'stream': return { ...said(''), pauseMs: directive.pauseMs, chunks: Array.from({ length: directive.chunks }, (_, i) => `chunk-${i + 1} `) }
    case 'hang': return { kind: 'hang' }
    case 'bash':
    case 'write':
    case 'ask':
    default: {
      const call = client.callOf(directive)
      return call === undefined ? said(`[scripted] the tool "${directive.do === 'ask' ? 'question' : directive.do}" is not offered. `) : { kind: 'tool', ...call }
    }
  }
}

function said(text: string): Reply & { kind: 'text' } {
  return { kind: 'text', chunks: [text], waitMs: 0, pauseMs: 0, goesOn: false }
}

function closing(steps: number): string {
  return steps === 0 ? '[scripted] This is the scripted model; it has no directive to follow.' : `[scripted] Done: ${steps} of ${steps} steps.`
}

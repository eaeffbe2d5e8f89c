import { stripVTControlCharacters } from 'node:util'

import { isOver, type Task } from '@longshore/contracts'

/** `8.4 s`, `2 min 10 s`, `1 h 5 min`, `3 d 2 h`. */
export function durationText(ms: number): string {
  if (ms < 10_000) return `${(Math.max(ms, 0) / 1_000).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return both(minutes, 'min', seconds % 60, 's')
  const hours = Math.floor(minutes / 60)
  return hours < 24 ? both(hours, 'h', minutes % 60, 'min') : both(Math.floor(hours / 24), 'd', hours % 24, 'h')
}

function both(n: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${n} ${unit}` : `${n} ${unit} ${rest} ${restUnit}`
}

/** `just now`, `5 min ago`. */
export function ageText(ms: number): string {
  return ms < 5_000 ? 'just now' : `${durationText(ms).split(' ').slice(0, 2).join(' ')} ago`
}

/** How long a task has run, or ran; undefined before its start. */
export function runText(task: Pick<Task, 'state' | 'started_at' | 'ended_at'>, now: number): string | undefined {
  if (task.started_at === undefined) return undefined
  if (isOver(task.state)) return durationText((task.ended_at ?? now) - task.started_at)
  return task.state === 'queued' ? undefined : durationText(now - task.started_at)
}

// What could forge or hide what a person reads: bidi overrides and other invisible characters, and terminal codes' escapes (G14).
const INVISIBLE = /[[\p{Cc}\p{Cf}]--[\n\t\u200C\u200D]]/gv

/** Untrusted text without invisible characters; HTML's own are escaped by `hono/html`. */
export function visible(text: string): string {
  return stripVTControlCharacters(text).replace(INVISIBLE, '').toWellFormed()
}

export const STATE_WORDS: Readonly<Record<Task['state'], string>> = {
  queued: 'queued', running: 'running', paused: 'paused', input_required: 'needs an answer', completed: 'completed', failed: 'failed', timeout: 'timed out', cancelled: 'cancelled',
}

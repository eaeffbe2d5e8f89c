import type { Piece } from '../command/demultiplex.ts'

/** A line of what a container put out; `number` counts those of its stream, from 1. `isTooLong`: its text was left out. */
export interface Line { stream: Piece['stream']; number: number; text: string; isTooLong?: true }

/** The largest message of an agent that is read; a longer one (a tool that put out everything) is counted and left out, which the log says. */
export const MAX_LINE_CHARACTERS = 8 * 1024 * 1024

/** Puts pieces together to lines. An unfinished last line is none. */
export function createLines(): { push(piece: Piece): Line[] } {
  const streams = { stdout: { number: 0, rest: '', isTooLong: false }, stderr: { number: 0, rest: '', isTooLong: false } }
  return {
    push: ({ stream, text }) => {
      const state = streams[stream]
      const parts = text.split('\n')
      return parts.flatMap((part, i) => {
        state.isTooLong ||= state.rest.length + part.length > MAX_LINE_CHARACTERS
        state.rest = state.isTooLong ? '' : state.rest + part
        if (i === parts.length - 1) return []
        const line = { stream, number: (state.number += 1), text: state.rest, ...(state.isTooLong ? { isTooLong: true as const } : {}) }
        state.rest = ''
        state.isTooLong = false
        return [line]
      })
    },
  }
}

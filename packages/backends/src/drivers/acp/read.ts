import { setTimeout as delay } from 'node:timers/promises'
import { RESUMING } from './converse.ts'
import { createLines, type Line } from './lines.ts'
import type { AcpMirror } from './mirror.ts'
import type { AgentEnding, AgentPipe } from './pipe.ts'
import { NOISE } from './relay-script.ts'

/** A chatty agent gives ten writes per second, however it cuts its words. */
const GAP_MS = 100
const RECONNECT_MS = 1_000
const NOISE_CHARACTERS = 1_000

/** Who wants to know of the lines of a pipe. */
export interface Ears {
  /** A line of the journal. */
  noted(line: string): void
  /** A message of the agent. */
  heard(message: object): void
}

/** Reads a pipe's lines: each once, however often the connection to it breaks. */
export interface PipeReader {
  take(line: Line): void
  /** The last that the agent said on stderr. */
  noise(): string
}

/** @param isResumed what the agent repeats of its session before it has answered that it goes on with it is in the log already */
export function createReader(mirror: Pick<AcpMirror, 'take' | 'leaveOut'>, isResumed: boolean, ears: Ears): PipeReader {
  const seen = { stdout: 0, stderr: 0 }
  let isRepeating = isResumed
  let noise = ''
  return {
    take: ({ stream, number, text, isTooLong = false }) => {
      if (number <= seen[stream]) return
      seen[stream] = number
      if (stream === 'stderr') {
        if (text.startsWith(NOISE)) noise = `${noise}${text.slice(NOISE.length)}\n`.slice(-NOISE_CHARACTERS)
        else ears.noted(text)
        return
      }
      if (isTooLong && !isRepeating) mirror.leaveOut(number)
      const message = parsed(text)
      if (message === undefined) return // a banner
      if (isRepeating) isRepeating = !RESUMING.includes(String('id' in message ? message.id : ''))
      else mirror.take(message, number)
      ears.heard(message)
    },
    noise: () => noise.trim(),
  }
}

/** Until the agent has ended. Rejects when the signal aborts or the claim is lost. */
export async function readOn(pipe: AgentPipe, reader: PipeReader, mirror: AcpMirror, signal: AbortSignal): Promise<AgentEnding> {
  for (;;) {
    await readOnce(pipe, reader, mirror, signal)
    const ending = await pipe.ending()
    if (ending !== undefined) return ending
    await delay(RECONNECT_MS, undefined, { signal })
  }
}

/** What there is, and on until the connection ends. */
export async function readOnce(pipe: AgentPipe, reader: PipeReader, mirror: AcpMirror, signal: AbortSignal): Promise<void> {
  const lines = createLines()
  for await (const pieces of pipe.output(signal)) {
    signal.throwIfAborted()
    for (const piece of pieces) for (const line of lines.push(piece)) reader.take(line)
    if (await mirror.flush()) await delay(GAP_MS, undefined, { signal })
  }
  signal.throwIfAborted()
}

function parsed(text: string): object | undefined {
  try {
    const message: unknown = JSON.parse(text)
    return typeof message === 'object' && message !== null && !Array.isArray(message) ? message : undefined
  } catch {
    return undefined
  }
}

import type { FileHandle } from 'node:fs/promises'

import { createOutputFile, outputBytes, type Storage, workspaceOf } from '@longshore/backends'
import type { ExecutionEvent, Log, OutputPart, Task } from '@longshore/contracts'

/** Writes down what an execution says, whole, beside what goes into the log. */
export interface OutputRecorder {
  /**
   * Writes the words of these events. To be called before they are appended, one call after the other.
   * Never rejects: a disk that takes no more costs the full output, not the task. @returns where the output stands with them; undefined: as before
   */
  record(events: readonly ExecutionEvent[]): Promise<readonly OutputPart[] | undefined>
  close(): Promise<void>
}

export interface RecorderOptions { storage: Storage; task: Pick<Task, 'id' | 'claim' | 'attempt' | 'output_parts'>; attempt: () => number; maxBytes: number; log: Log }

/** Between two attempts. */
const nextAttempt = (attempt: number) => `\n--- attempt ${attempt} ---\n`

/**
 * Each owner has a file of its own. What it wrote counts as far as the ledger says, in the step that stores the position of the source:
 * an adopter goes on in another file with what comes after, and what a dead or suspended owner wrote beyond is never shown (G4, G5).
 */
export function createOutputRecorder({ storage, task, attempt, maxBytes, log }: RecorderOptions): OutputRecorder {
  const before = task.output_parts ?? []
  let own: OutputPart[] = []
  let file: FileHandle | undefined
  let isBroken = before.at(-1)?.cut === 'quota'
  const last = () => own.at(-1) ?? before.at(-1)
  const write = async (text: string) => {
    file ??= await createOutputFile(workspaceOf(storage, task.id), task.claim)
    const heading = last() !== undefined && last()?.attempt !== attempt() ? nextAttempt(attempt()) : ''
    const bytes = Buffer.from(heading + text)
    const written = own[0]?.bytes ?? 0
    const room = maxBytes - outputBytes(before) - written
    // Where it stands, not where the file ends: what a refused append left is written over.
    await writeAll(file, bytes.subarray(0, Math.max(room, 0)), written)
    own = [{ claim: task.claim, attempt: attempt(), storage_id: storage.id, bytes: written + Math.min(bytes.length, Math.max(room, 0)), ...(bytes.length > room ? { cut: 'quota' } : {}) }]
    isBroken = bytes.length > room
  }
  return {
    record: async (events) => {
      const text = wordsOf(events)
      if (text === '' || isBroken) return undefined
      try {
        await write(text)
      } catch (error) {
        log.error({ err: error }, 'the full output of the task cannot be written any more; its log goes on')
        isBroken = true
        own = [{ claim: task.claim, attempt: attempt(), storage_id: storage.id, bytes: own[0]?.bytes ?? 0, cut: 'disk' }]
      }
      return [...before, ...own]
    },
    close: async () => {
      const opened = file
      file = undefined
      isBroken = true
      await opened?.close().catch(() => undefined)
    },
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}

/** What the agent said as it is; what a tool put out under a line that names it. */
export function wordsOf(events: readonly ExecutionEvent[]): string {
  return events.map((event) => {
    if (event.type === 'task.output') return event.payload.text
    if (event.type !== 'task.tool') return ''
    const { tool, title, status, output = '' } = event.payload
    const words = event.whole ?? output
    return `\n[${tool}] ${title}${status === 'error' ? ' (error)' : ''}\n${words}${words.endsWith('\n') ? '' : '\n'}`
  }).join('').toWellFormed()
}

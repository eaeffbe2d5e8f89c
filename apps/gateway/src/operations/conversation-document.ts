import { BlobFault, type Task } from '@longshore/contracts'

import { linesIn } from './lines-in.ts'
import type { Ports } from './operation.ts'
import { Message, messageOf, promptMessage } from './conversation.ts'
import { viewTask } from './task-view.ts'
import { wholeLog } from './whole-log.ts'

/** A log may be larger; nobody reads a conversation of that length, and an agent must not fill the store. */
const MAX_DOCUMENT_BYTES = 32 * 1024 * 1024

interface Document { content: AsyncIterable<Uint8Array>; /** Messages written so far. */ count(): number }

/** One JSON document, with each message on a line of its own, so that a part of it can be read without the rest. Never held whole. */
export function documentOf(ledger: Pick<Ports['ledger'], 'read'>, task: Task, about: { by: string; summary: string | undefined; now: number }, maxBytes = MAX_DOCUMENT_BYTES): Document {
  let count = 0
  async function* lines(): AsyncGenerator<string> {
    yield `{"v":1,"task":${JSON.stringify(viewTask(task, about.now))},"archived_by":${JSON.stringify(about.by)}${about.summary === undefined ? '' : `,"summary":${JSON.stringify(about.summary)}`},"messages":[\n`
    let bytes = 0
    for await (const message of messages(ledger, task)) {
      const line = `${count === 0 ? '' : ',\n'}${JSON.stringify(message)}`
      bytes += Buffer.byteLength(line)
      if (bytes > maxBytes) return yield* tail(true)
      count += 1
      yield line
    }
    yield* tail(false)
  }
  function* tail(isCut: boolean): Generator<string> {
    yield `\n],"message_count":${count},"truncated":${isCut}}\n`
  }
  return { count: () => count, content: encoded(lines()) }
}

async function* messages(ledger: Pick<Ports['ledger'], 'read'>, task: Task): AsyncGenerator<Message> {
  yield promptMessage(task)
  for await (const event of wholeLog(ledger, task)) {
    const message = messageOf(event)
    if (message !== undefined) yield message
  }
}

export async function* encoded(pieces: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield Buffer.from(piece)
}

/** Messages of a document from one on. @throws BlobFault */
export async function messagesIn(content: AsyncIterable<Uint8Array>, offset: number, limit: number, maxBytes: number): Promise<Message[]> {
  const found: Message[] = []
  let [line, bytes] = [-1, 0]
  for await (const text of linesIn(content)) {
    line += 1
    if (line <= offset) continue
    if (text.startsWith(']') || found.length >= limit) break
    bytes += text.length
    if (bytes > maxBytes && found.length > 0) break
    found.push(parse(text.endsWith(',') ? text.slice(0, -1) : text))
  }
  return found
}

function parse(line: string): Message {
  try {
    return Message.parse(JSON.parse(line))
  } catch (error) {
    throw new BlobFault('damaged', 'an archived conversation cannot be read', error)
  }
}

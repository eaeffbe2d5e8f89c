import type { Clock } from '@longshore/contracts'
import type { KeptFiles } from '../kept-files.ts'
import type { Notice } from '../notice.ts'
import type { Frozen } from '../outbox/frozen.ts'
import type { Outcome } from '../sink.ts'
import type { MatrixClient } from './client.ts'
import { troubleOf } from './matrix-error.ts'

/** Nothing is kept of a task before its execution is cleaned up; that takes seconds, or a while when its engine is away. */
const LOOK_AGAIN_MS = 3_000
const GIVE_UP_MS = 30 * 60_000

/** What a file's message says, or what is to become of it instead. */
export type Attachment = { content: Record<string, unknown> } | { outcome: Outcome }

/**
 * The message of what an ended task left, with the file uploaded. Sent again after a crash it is uploaded again, and the homeserver, which knows the
 * transaction id, keeps the first message: the second copy belongs to nobody and goes with the homeserver's own retention.
 */
export async function attach(client: MatrixClient, files: KeptFiles | undefined, { content, frozen_at: since }: Frozen, notice: Notice, now: Clock): Promise<Attachment> {
  if (files === undefined || notice.file === undefined) return { outcome: { kind: 'refused', reason: 'this notifier has no blob store (BLOBS_DIR)' } }
  const found = await files.read(notice.task_id, notice.file)
  switch (found.kind) {
    case 'nothing': return { outcome: { kind: 'sent' } }
    case 'away': return now() - (found.endedAt ?? since) > GIVE_UP_MS ? { outcome: { kind: 'refused', reason: found.reason } } : { outcome: { kind: 'later', afterMs: LOOK_AGAIN_MS } }
    case 'file': break
  }
  const { bytes, name, mimetype, note } = found
  try {
    const url = await client.upload(bytes, name, mimetype)
    // Its words are for who cannot show files: beside a file they would be its caption.
    const { format: _, formatted_body: __, ...rest } = content
    return { content: { ...rest, msgtype: 'm.file', body: note === undefined ? name : `${name} (${note})`, filename: name, url, info: { size: bytes.length, mimetype } } }
  } catch (error) {
    const trouble = troubleOf(error)
    if (trouble.kind !== 'refused') throw error
    // Too large, no right to it, no place for media: that is about this file, not about the room, where the rest is still told.
    return { outcome: trouble }
  }
}

import { BlobFault } from '@longshore/contracts'
import { z } from 'zod'

// Index and diff are lines of JSON: they are read in part, and never held whole. Names are bytes as latin1.

/** One name of a kept tree; the lines are in the order of a walk. */
export const IndexLine = z.object({
  name: z.string(),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  size: z.int().optional(),
  modified_at: z.number().optional(),
  change: z.enum(['added', 'modified', 'deleted']).optional(),
  /** Where its content is in the archive. */
  offset: z.int().optional(),
  /** Why it has none there. */
  left: z.enum(['special', 'unreadable', 'quota']).optional(),
  torn: z.literal(true).optional(),
})
export type IndexLine = z.infer<typeof IndexLine>

export const DiffLine = z.object({
  path: z.string(),
  change: z.enum(['added', 'modified', 'deleted', 'renamed']),
  from: z.string().optional(),
  patch: z.string().optional(),
})
export type DiffLine = z.infer<typeof DiffLine>

export function toLine(value: IndexLine | DiffLine): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`)
}

const NEWLINE = 0x0a
/** The longest line of any of ours has a patch of 16 MiB in it. */
const MAX_LINE_BYTES = 128 * 1024 * 1024

/** Splits what is read into lines, and parses them. @throws BlobFault damaged */
export async function* linesOf<T>(schema: z.ZodType<T>, content: AsyncIterable<Uint8Array>): AsyncGenerator<T> {
  let parts: Uint8Array[] = []
  let held = 0
  for await (const piece of content) {
    let from = 0
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      yield parseLine(schema, Buffer.concat([...parts, piece.subarray(from, end)]))
      parts = []
      held = 0
      from = end + 1
    }
    parts.push(piece.subarray(from))
    held += piece.length - from
    if (held > MAX_LINE_BYTES) throw new BlobFault('damaged', 'a line of what was kept has no end')
  }
}

export function parseLine<T>(schema: z.ZodType<T>, line: Uint8Array): T {
  try {
    return schema.parse(JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8')))
  } catch (error) {
    throw new BlobFault('damaged', 'a line of what was kept cannot be read', error)
  }
}

import { AuditEntry } from '@longshore/ledger'
import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { Timestamp, toTimestamp } from './parameters.ts'

const Entry = z.object({ ...AuditEntry.omit({ v: true }).shape, at: Timestamp })

/** Who steered what from a chat, and who tried. What is done through this API stands in each task's history. */
export function listAudit(ports: Ports): Operation {
  return defineOperation({
    name: 'list_audit',
    title: 'List what people did from chats',
    description: 'Who asked for what from a chat, with their role, the task, what came of it and where it was said, newest first. The newest 10,000 are kept.',
    input: z.strictObject({
      limit: z.int().min(1).max(500).default(50).describe('How many at most, 1 to 500.'),
      offset: z.int().min(0).max(1_000_000).default(0).describe('How many to skip from the newest.'),
    }),
    output: z.object({ entries: z.array(Entry) }),
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'GET', path: '/api/audit' },
    isTool: true,
    handle: async ({ limit, offset }) => ({ entries: (await ports.ledger.audit(limit, offset)).map((entry) => Entry.parse({ ...entry, at: toTimestamp(entry.at) })) }),
  })
}

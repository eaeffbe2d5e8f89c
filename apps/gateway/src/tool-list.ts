import type { Tool } from '@modelcontextprotocol/server'
import { z } from 'zod'

import type { Operation } from './operations/operation.ts'

/** A tool, and the scope that a key needs to see it. */
interface ScopedTool { tool: Tool; scope: Operation['scope'] }

/** The operations as MCP describes tools: made once, served to every client whose key may call them. */
export function toolList(operations: readonly Operation[]): ScopedTool[] {
  return operations.filter((operation) => operation.isTool).map(({ name, title, description, input, output, hints, scope }) => ({
    tool: { name, title, description, inputSchema: schemaOf(input), outputSchema: schemaOf(output), annotations: { title, ...hints } },
    scope,
  }))
}

/**
 * Seen from the sender's side for both: a default makes a parameter optional, and a result may grow fields later.
 * Without `$schema`: validators of 1.x clients know only draft 7, whose words these are.
 */
function schemaOf(schema: z.ZodObject): Tool['inputSchema'] {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' })
  return rest as Tool['inputSchema']
}

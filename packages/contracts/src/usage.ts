import { z } from 'zod'

/** Tokens are counts; cost is integer micro-units (millionths) of the provider's currency. */
export const Usage = z.object({
  input_tokens: z.int().nonnegative(),
  output_tokens: z.int().nonnegative(),
  reasoning_tokens: z.int().nonnegative(),
  cache_read_tokens: z.int().nonnegative(),
  cache_write_tokens: z.int().nonnegative(),
  cost_micros: z.int().nonnegative(),
})
export type Usage = z.infer<typeof Usage>

/** What counts against a budget. `tokens`: all but those read from the provider's cache, which come again with every step. */
export interface Spent { tokens: number; cost_micros: number }

/** What may be spent; what is absent is not limited. A provider that names no price costs nothing. */
export const Budget = z.object({ tokens: z.int().positive().optional(), cost_micros: z.int().positive().optional() })
export type Budget = z.infer<typeof Budget>

const NAMES = { tokens: 'tokens', cost_micros: 'millionths of the currency' } as const

/** What is over, in words for people: `1200 tokens of 1000`; undefined while nothing is. A budget may be reached, not passed. */
export function overBudget(budget: Budget | undefined, spent: Spent): string | undefined {
  for (const unit of ['tokens', 'cost_micros'] as const) {
    const limit = budget?.[unit]
    if (limit !== undefined && spent[unit] > limit) return `${spent[unit]} ${NAMES[unit]} of ${limit}`
  }
  return undefined
}

/** One line of the totals: a day (UTC, `YYYY-MM-DD`), and whose tasks. */
export const UsageLine = Usage.extend({ day: z.string(), agent_id: z.string(), profile: z.string(), mode: z.string() })
export type UsageLine = z.infer<typeof UsageLine>

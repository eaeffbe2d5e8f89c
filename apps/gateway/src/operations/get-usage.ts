import { LongshoreError, type UsageLine, UsageLine as Line } from '@longshore/contracts'
import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'

const DAY_MS = 24 * 60 * 60 * 1_000
/** More would be a report, which is for the operator's own tools. */
const MAX_DAYS = 92
const Day = z.iso.date().describe('YYYY-MM-DD, UTC')

const Output = z.object({
  from: z.string(), to: z.string(),
  lines: z.array(Line).describe('By day, agent, profile and mode; what used nothing is left out. cost_micros: millionths of the provider\'s currency.'),
  total: Line.omit({ day: true, agent_id: true, profile: true, mode: true }),
})

/** What was used, as the log has it: also of tasks that still run, failed or were cancelled. An agent sees its own (G11). */
export function getUsage(ports: Ports): Operation {
  return defineOperation({
    name: 'get_usage',
    title: 'Tokens and cost',
    description: 'Totals of tokens and cost by day, profile and mode: of your own tasks; with an operator\'s key of all agents.',
    input: z.strictObject({
      from: Day.optional().describe('First day, YYYY-MM-DD, UTC. Default: six days before `to`.'),
      to: Day.optional().describe('Last day. Default: today.'),
    }),
    output: Output,
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/usage' },
    isTool: true,
    async handle(input, { caller }) {
      const to = input.to ?? dayOf(ports.now())
      const from = input.from ?? dayOf(Date.parse(to) - 6 * DAY_MS)
      const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1
      if (days < 1 || days > MAX_DAYS) throw new LongshoreError('invalid_input', `from: got ${from} to ${to}, allowed: 1 to ${MAX_DAYS} days`, { field: 'from' })
      const lines = (await ports.ledger.usage(from, to)).filter(({ agent_id }) => caller.isOperator || agent_id === caller.agentId)
      return { from, to, lines, total: totalOf(lines) }
    },
  })
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

const METRICS = ['input_tokens', 'output_tokens', 'reasoning_tokens', 'cache_read_tokens', 'cache_write_tokens', 'cost_micros'] as const

function totalOf(lines: readonly UsageLine[]): z.output<typeof Output>['total'] {
  const sum = (metric: (typeof METRICS)[number]): number => Math.min(Number.MAX_SAFE_INTEGER, lines.reduce((total, line) => total + line[metric], 0))
  return Object.fromEntries(METRICS.map((metric) => [metric, sum(metric)])) as z.output<typeof Output>['total']
}

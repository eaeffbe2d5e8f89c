import type { Usage } from '@longshore/contracts'
import type { Command } from '../command.ts'
import type { UsageAnswer } from '../gateway-client.ts'
import { gatewayOf } from '../stack.ts'
import { columns, plain, type Terminal } from '../terminal.ts'
import { JSON_OPTION, URL_OPTION, urlOf } from './tasks.ts'

export const usageCommand: Command = {
  name: 'usage',
  words: [],
  about: 'Tokens and cost by day, agent, profile and mode.',
  options: {
    from: { type: 'string', value: 'DAY', about: 'First day, YYYY-MM-DD, UTC. Default: six days before --to.' },
    to: { type: 'string', value: 'DAY', about: 'Last day. Default: today.' },
    url: URL_OPTION, json: JSON_OPTION,
  },
  notes: ['TOKENS is what budgets count: without those read from the provider\'s cache, which have a column of their own.'],
  async run(input, context) {
    const days = Object.fromEntries(['from', 'to'].flatMap((name) => (typeof input.options[name] === 'string' ? [[name, input.options[name]]] : [])))
    const usage = await (await gatewayOf(context, 'operator', urlOf(input))).usage(days)
    if (input.options['json'] === true) context.terminal.say(JSON.stringify(usage, null, 2))
    else if (usage.lines.length === 0) context.terminal.say('Nothing was used in these days.')
    else showUsage(usage, context.terminal)
    return 0
  },
}

function showUsage({ lines, total }: UsageAnswer, terminal: Terminal): void {
  const rows = [
    ['DAY (UTC)', 'AGENT', 'PROFILE', 'MODE', 'TOKENS', 'FROM CACHE', 'COST'],
    ...lines.map((line) => [line.day, plain(line.agent_id, 40), plain(line.profile, 40), line.mode, ...figures(line)]),
    ['total', '', '', '', ...figures(total)],
  ]
  for (const line of columns(rows)) terminal.say(line)
}

function figures({ input_tokens, output_tokens, reasoning_tokens, cache_write_tokens, cache_read_tokens, cost_micros }: Usage): string[] {
  const tokens = input_tokens + output_tokens + reasoning_tokens + cache_write_tokens
  return [tokens, cache_read_tokens].map((n) => n.toLocaleString('en')).concat((cost_micros / 1_000_000).toFixed(4))
}

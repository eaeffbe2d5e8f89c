import type { Command } from '../command.ts'
import { gatewayOf } from '../stack.ts'
import { columns, plain } from '../terminal.ts'
import { JSON_OPTION, URL_OPTION, urlOf, wholeNumber } from './tasks.ts'

export const auditCommand: Command = {
  name: 'audit',
  words: [],
  about: 'Show who asked for what from Matrix, and what came of it, newest first.',
  options: {
    limit: { type: 'string', value: 'N', about: 'At most this many, 1 to 500. Default: 50.' },
    offset: { type: 'string', value: 'N', about: 'Skip this many of the newest. Default: 0.' },
    url: URL_OPTION, json: JSON_OPTION,
  },
  notes: ['The newest 10,000 are kept. Where it was said and what was answered: --json. What is done otherwise stands in each task\'s history.'],
  async run(input, context) {
    const [limit, offset] = ([['limit', '50'], ['offset', '0']] as const).map(([name, fallback]) => wholeNumber(`--${name}`, (input.options[name] as string | undefined) ?? fallback))
    const entries = await (await gatewayOf(context, 'operator', urlOf(input))).audit(limit ?? 50, offset ?? 0)
    if (input.options['json'] === true) context.terminal.say(JSON.stringify(entries, null, 2))
    else if (entries.length === 0) context.terminal.say('Nobody asked for anything from Matrix.')
    else {
      const rows = entries.map((one) => [one.at.slice(0, 19).replace('T', ' '), plain(one.by, 60), one.role ?? 'none', one.deed, one.result, one.task_id ?? '', plain(one.words ?? '', 60)])
      for (const line of columns([['WHEN (UTC)', 'WHO', 'ROLE', 'WHAT', 'RESULT', 'TASK', 'WORDS'], ...rows])) context.terminal.say(line)
    }
    return 0
  },
}

import type { Command } from '../command.ts'
import { gatewayOf } from '../stack.ts'
import { columns, plain } from '../terminal.ts'
import { JSON_OPTION, URL_OPTION, urlOf, wholeNumber } from './tasks.ts'

const dead: Command = {
  name: 'notices dead',
  words: [],
  about: 'List notices that their receiver (Matrix, Letta, a webhook) refused for good, newest first, with its reason.',
  options: {
    limit: { type: 'string', value: 'N', about: 'At most this many, 1 to 200. Default: 20.' },
    offset: { type: 'string', value: 'N', about: 'Skip this many of the newest. Default: 0.' },
    url: URL_OPTION, json: JSON_OPTION,
  },
  notes: ['A notice leaves the list when it is replayed; of each sink the newest thousand are kept.'],
  async run(input, context) {
    const { terminal } = context
    const limit = wholeNumber('--limit', (input.options['limit'] as string | undefined) ?? '20')
    const offset = wholeNumber('--offset', (input.options['offset'] as string | undefined) ?? '0')
    const { total, notices } = await (await gatewayOf(context, 'operator', urlOf(input))).deadNotices(limit, offset)
    if (input.options['json'] === true) terminal.say(JSON.stringify({ total, notices }, null, 2))
    else if (notices.length === 0) terminal.say(total === 0 ? 'No notice was refused.' : `No more of them after the first ${offset}.`)
    else {
      for (const notice of notices) {
        for (const line of columns([[notice.died_at.slice(0, 19).replace('T', ' '), plain(notice.sink, 20), plain(notice.kind, 20), plain(notice.notice_id, 120)]])) terminal.say(line)
        terminal.say(`    ${plain(notice.lane, 80)}: ${plain(notice.reason, 300)}`)
      }
      terminal.say()
      terminal.say(`${total} in all. When the reason is mended: longshore notices replay ID, or longshore notices replay all`)
    }
    return 0
  },
}

const replay: Command = {
  name: 'notices replay',
  words: ['ID'],
  about: 'Put a notice that was refused, or all of them, back into the outbox, for a notifier to send.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  notes: ['ID is what `longshore notices dead` shows, or all.', 'What is refused again comes back into the list.'],
  async run(input, context) {
    const answer = await (await gatewayOf(context, 'operator', urlOf(input))).replayNotices(input.words[0] ?? '')
    context.terminal.say(input.options['json'] === true ? JSON.stringify(answer, null, 2) : answer.message)
    return 0
  },
}

export const noticeCommands: readonly Command[] = [dead, replay]

import { type Command, Complaint } from '../command.ts'
import { gatewayOf } from '../stack.ts'
import { URL_OPTION, urlOf } from './tasks.ts'
import { FILE_OPTION, showOrSave } from './downloads.ts'

const FORMATS = ['json', 'markdown']
const NOTE = 'Standard output gets no control characters; a file that is named with --output gets every byte.'

const exportCommand: Command = {
  name: 'export',
  words: ['TASK'],
  about: 'Export a task as one file: record, prompt, log, usage, patch.',
  options: { format: { type: 'string', value: 'FORMAT', about: `${FORMATS.join(' or ')}. Default: json.` }, output: FILE_OPTION, url: URL_OPTION },
  notes: ['longshore export task-… --format markdown > task.md', NOTE],
  async run(input, context) {
    const format = (input.options['format'] as string | undefined) ?? 'json'
    if (!FORMATS.includes(format)) throw new Complaint(`--format: got "${format}", allowed: ${FORMATS.join(', ')}.`)
    await showOrSave((await gatewayOf(context, 'operator', urlOf(input))).download(input.words[0] ?? '', `export?format=${format}`), input, context)
    return 0
  },
}

const archiveConversation: Command = {
  name: 'archive-conversation',
  words: ['TASK'],
  about: 'Keep the conversation of a task that is over, for longer than what it left.',
  options: { summary: { type: 'string', value: 'TEXT', about: 'What is to be said about it.' }, url: URL_OPTION },
  async run(input, context) {
    const summary = input.options['summary'] as string | undefined
    const done = await (await gatewayOf(context, 'operator', urlOf(input))).archiveConversation(input.words[0] ?? '', summary === undefined ? {} : { summary })
    context.terminal.say(`${done.message_count} messages, archived ${done.archived_at}${done.outcome === 'unchanged' ? ' (before)' : ''}. Read them: longshore conversation ${input.words[0]}`)
    return 0
  },
}

const conversation: Command = {
  name: 'conversation',
  words: ['TASK'],
  about: 'Show the archived conversation of a task, as JSON.',
  options: { output: FILE_OPTION, url: URL_OPTION },
  notes: [NOTE],
  async run(input, context) {
    await showOrSave((await gatewayOf(context, 'operator', urlOf(input))).download(input.words[0] ?? '', 'conversation'), input, context)
    return 0
  },
}

export const exportCommands: readonly Command[] = [exportCommand, archiveConversation, conversation]

import { Mode, TASK_STATES } from '@longshore/contracts'

import { type Command, Complaint, type Option } from '../command.ts'
import { gatewayOf } from '../stack.ts'
import { showTasks } from '../task-lines.ts'
import { JSON_OPTION, URL_OPTION, urlOf, wholeNumber } from './tasks.ts'

const text = (value: string, about: string): Option => ({ type: 'string', value, about })
const time = (about: string): Option => text('TIME', `${about}: a time such as 2026-11-26 or 2026-11-26T08:00:00Z.`)

/** The options that are parameters of `search_tasks`, under the names that they have there. */
const FILTERS: Readonly<Record<string, [parameter: string, option: Option]>> = {
  agent: ['agent_id', text('ID', 'Only tasks of this agent.')],
  status: ['status', text('STATES', `One or several with commas between: ${TASK_STATES.join(', ')}.`)],
  mode: ['mode', text('MODE', `${Mode.options.join(' or ')}.`)],
  profile: ['profile', text('NAME', 'Only tasks of this profile.')],
  title: ['title_prefix', text('TEXT', 'How the title begins, in upper or lower case.')],
  'created-from': ['created_from', time('Created then or later')],
  'created-before': ['created_before', time('Created before then')],
  'ended-from': ['ended_from', time('Ended then or later')],
  'ended-before': ['ended_before', time('Ended before then')],
  cursor: ['cursor', text('CURSOR', 'Go on where an earlier search ended.')],
}

export const searchCommand: Command = {
  name: 'search',
  words: [],
  about: 'Find tasks of all agents by what they are, newest first.',
  options: {
    ...Object.fromEntries(Object.entries(FILTERS).map(([name, [, option]]) => [name, option])),
    limit: { type: 'string', value: 'N', about: 'At most this many, 1 to 200. Default: 20.' }, url: URL_OPTION, json: JSON_OPTION,
  },
  notes: ['longshore search --status failed,timeout --title "fix" --created-from 2026-11-01'],
  async run(input, context) {
    const given = Object.entries(FILTERS).flatMap(([name, [parameter]]) => {
      const value = input.options[name]
      return typeof value === 'string' ? [[parameter, valueOf(name, value)] as const] : []
    })
    const limit = wholeNumber('--limit', (input.options['limit'] as string | undefined) ?? '20')
    const page = await (await gatewayOf(context, 'operator', urlOf(input))).search({ ...Object.fromEntries(given), limit: String(limit) })
    const { terminal } = context
    if (input.options['json'] === true) terminal.say(JSON.stringify(page, null, 2))
    else if (page.tasks.length === 0 && page.next_cursor === undefined) terminal.say('No task is like that.')
    else showTasks(page.tasks, terminal)
    if (input.options['json'] !== true && page.next_cursor !== undefined) terminal.complain(`There may be more: --cursor ${page.next_cursor}`)
    if (page.note !== undefined) terminal.complain(page.note)
    return 0
  },
}

/** As the parameter is written in a query. @throws Complaint */
function valueOf(name: string, value: string): string {
  if (name === 'status') return value.includes(',') ? JSON.stringify(value.split(',').map((state) => state.trim())) : value
  return FILTERS[name]?.[1].value === 'TIME' ? momentOf(name, value) : value
}

/** A day is its beginning, UTC. @throws Complaint */
function momentOf(name: string, value: string): string {
  const isMoment = /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))?$/.test(value) && !Number.isNaN(Date.parse(value))
  if (!isMoment) throw new Complaint(`--${name}: got "${value}", allowed: a time such as 2026-11-26 or 2026-11-26T08:00:00Z.`)
  return new Date(value).toISOString()
}

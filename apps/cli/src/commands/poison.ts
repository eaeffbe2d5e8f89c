import type { Command } from '../command.ts'
import { gatewayOf } from '../stack.ts'
import { columns, plain } from '../terminal.ts'
import { JSON_OPTION, URL_OPTION, urlOf, wholeNumber } from './tasks.ts'

const list: Command = {
  name: 'poisoned',
  words: [],
  about: 'List tasks that were ended because worker after worker died while it held them, newest first.',
  options: {
    limit: { type: 'string', value: 'N', about: 'At most this many, 1 to 200. Default: 20.' },
    offset: { type: 'string', value: 'N', about: 'Skip this many of the newest. Default: 0.' },
    url: URL_OPTION, json: JSON_OPTION,
  },
  notes: ['After how many dead workers, says POISON_LIMIT. A task leaves the list when it is replayed.'],
  async run(input, context) {
    const { terminal } = context
    const limit = wholeNumber('--limit', (input.options['limit'] as string | undefined) ?? '20')
    const offset = wholeNumber('--offset', (input.options['offset'] as string | undefined) ?? '0')
    const tasks = await (await gatewayOf(context, 'operator', urlOf(input))).poisoned(limit, offset)
    if (input.options['json'] === true) terminal.say(JSON.stringify(tasks, null, 2))
    else if (tasks.length === 0) terminal.say(offset === 0 ? 'No task is poisoned.' : `No more of them after the first ${offset}.`)
    else {
      const rows = tasks.map((task) => [task.task_id, (task.completed_at ?? '').slice(0, 19).replace('T', ' '), plain(task.agent_id, 40), task.mode, plain(task.title, 60)])
      for (const line of columns([['TASK', 'ENDED (UTC)', 'AGENT', 'MODE', 'TITLE'], ...rows])) terminal.say(line)
      terminal.say()
      terminal.say('What happened: longshore watch TASK, and the logs of the workers that it names. Run one again: longshore replay TASK')
    }
    return 0
  },
}

const replay: Command = {
  name: 'replay',
  words: ['TASK'],
  about: 'Submit a poisoned task again, as a new task of the same agent with the same prompt and settings.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  notes: ['The old task keeps its end and its log, and leaves the list of poisoned tasks.', 'The mode is chosen anew by the rollout, unless the agent had asked for one.'],
  async run(input, context) {
    const task = await (await gatewayOf(context, 'operator', urlOf(input))).replay(input.words[0] ?? '')
    if (input.options['json'] === true) context.terminal.say(JSON.stringify(task, null, 2))
    else {
      context.terminal.say(`${task.task_id}  ${task.status}, ${task.mode} mode, in place of ${task.replayed_task_id}`)
      context.terminal.say(`Follow it: longshore watch ${task.task_id}`)
    }
    return 0
  },
}

export const poisonCommands: readonly Command[] = [list, replay]

import type { Command, Context, Input } from '../command.ts'
import type { ObserversAnswer } from '../gateway-client.ts'
import { gatewayOf } from '../stack.ts'
import { columns, plain } from '../terminal.ts'
import { JSON_OPTION, URL_OPTION, urlOf } from './tasks.ts'

const list: Command = {
  name: 'observers list',
  words: ['TASK'],
  about: 'Show who watches a task.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  run: async (input, context) => show(await (await gatewayOf(context, 'operator', urlOf(input))).observers(input.words[0] ?? ''), input, context),
}

const add: Command = {
  name: 'observers add',
  words: ['TASK', 'USER'],
  about: 'Let somebody in Matrix watch a task: @name:server.',
  options: {
    agent: { type: 'boolean', about: 'It is an agent, no person.' },
    write: { type: 'boolean', about: 'May write where the task is shown, not only read.' },
    url: URL_OPTION, json: JSON_OPTION,
  },
  async run(input, context) {
    const [taskId = '', observer = ''] = input.words
    const wish = { observer_id: observer, observer_type: input.options['agent'] === true ? 'agent' : 'human', read_only: input.options['write'] !== true }
    return show(await (await gatewayOf(context, 'operator', urlOf(input))).addObserver(taskId, wish), input, context)
  },
}

const remove: Command = {
  name: 'observers remove',
  words: ['TASK', 'USER'],
  about: 'Somebody does not watch a task any more.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  async run(input, context) {
    const [taskId = '', observer = ''] = input.words
    return show(await (await gatewayOf(context, 'operator', urlOf(input))).removeObserver(taskId, observer), input, context)
  },
}

export const observerCommands: readonly Command[] = [list, add, remove]

function show(answer: ObserversAnswer, { options }: Input, { terminal }: Context): number {
  const rows = answer.observers.map((one) => [plain(one.observer_id), one.observer_type, one.read_only ? 'reads' : 'writes', `since ${one.added_at.slice(0, 19).replace('T', ' ')} by ${plain(one.added_by)}`])
  if (options['json'] === true) terminal.say(JSON.stringify(answer, null, 2))
  else if (rows.length === 0) terminal.say('Nobody watches this task.')
  else for (const line of columns(rows)) terminal.say(line)
  return 0
}

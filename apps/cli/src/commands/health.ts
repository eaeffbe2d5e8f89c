import type { Command } from '../command.ts'
import { gatewayOf } from '../stack.ts'
import { columns, plain } from '../terminal.ts'
import { JSON_OPTION, URL_OPTION, urlOf } from './tasks.ts'

/** Exit code 1 unless tasks are accepted and run. */
export const healthCommand: Command = {
  name: 'health',
  words: [],
  about: 'Show whether tasks are accepted and run, and how each mode isolates them.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  async run(input, context) {
    const health = await (await gatewayOf(context, 'operator', urlOf(input))).health()
    const isHealthy = health.status === 'healthy'
    if (input.options['json'] === true) {
      context.terminal.say(JSON.stringify(health, null, 2))
      return isHealthy ? 0 : 1
    }
    const { paint } = context.terminal
    const rows = [
      ['status', isHealthy ? paint('green', health.status) : paint('yellow', `${health.status}: no worker is there to run tasks`)],
      ['tasks', `${health.metrics.active_tasks} running, ${health.metrics.queued_tasks} queued`],
      ...health.modes.map((mode) => [mode.mode, `${mode.workers} worker${mode.workers === 1 ? '' : 's'}, ${mode.slots} at once, isolation: ${mode.isolation}${mode.reason === undefined ? '' : paint('yellow', `; off: ${plain(mode.reason, 300)}`)}`]),
    ]
    for (const line of columns(rows)) context.terminal.say(line)
    return isHealthy ? 0 : 1
  },
}

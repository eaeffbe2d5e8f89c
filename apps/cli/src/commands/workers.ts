import type { Command } from '../command.ts'
import type { WorkerAnswer } from '../gateway-client.ts'
import { gatewayOf } from '../stack.ts'
import { columns, duration, plain, type Terminal } from '../terminal.ts'
import { JSON_OPTION, URL_OPTION, urlOf } from './tasks.ts'

const list: Command = {
  name: 'workers',
  words: [],
  about: 'List the workers that are alive: what they run, which modes they take, and why not.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  notes: ['One that is silent for 15 s is left out; its tasks are with other workers by then.'],
  async run(input, context) {
    const workers = await (await gatewayOf(context, 'operator', urlOf(input))).workers()
    if (input.options['json'] === true) context.terminal.say(JSON.stringify(workers, null, 2))
    else showWorkers(workers, context.terminal)
    return 0
  },
}

const drain: Command = {
  name: 'drain',
  words: ['NAME'],
  about: 'Let one worker take no more tasks and hand over what it runs; its process stays up.',
  options: { undo: { type: 'boolean', about: 'Let it take tasks again.' }, url: URL_OPTION, json: JSON_OPTION },
  notes: [
    'What it runs may end within DRAIN_GRACE_MS. What runs then goes to other workers, or waits with its session and workspace kept. No task is lost.',
    'To stop a worker for good, or to start its next version, end its process with SIGTERM: it drains by itself and exits.',
  ],
  async run(input, context) {
    const { terminal } = context
    const [name = ''] = input.words
    const gateway = await gatewayOf(context, 'operator', urlOf(input))
    const isUndo = input.options['undo'] === true
    const answer = await gateway.drain(name, isUndo)
    if (input.options['json'] === true) terminal.say(JSON.stringify(answer, null, 2))
    else {
      terminal.say(`${plain(name)}: ${answer.message}`)
      if (!isUndo) showDrain(name, answer.running, await gateway.workers(), terminal)
    }
    return 0
  },
}

function showDrain(name: string, running: number, workers: readonly WorkerAnswer[], terminal: Terminal): void {
  terminal.say(`It holds ${running} task${running === 1 ? '' : 's'} now. Follow it: longshore workers. Take it back: longshore drain ${plain(name)} --undo`)
  if (!workers.some((worker) => worker.name !== name && takes(worker))) {
    terminal.say(terminal.paint('yellow', 'No other worker takes tasks: what this one hands over waits until one does.'))
  }
}

function showWorkers(workers: readonly WorkerAnswer[], terminal: Terminal): void {
  if (workers.length === 0) {
    terminal.say('No worker is alive: tasks wait in the queue and are not lost. Start one, or look into the log of the one that should run.')
    return
  }
  const heads = columns(workers.map((worker) => [
    plain(worker.name, 80), stateOf(worker, terminal), `${worker.running} of ${worker.slots} running`,
    `up ${duration(Math.max(0, Date.now() - Date.parse(worker.started_at)))}`, `version ${plain(worker.version, 40)}`, `on ${plain(worker.host, 80)}`,
  ]))
  for (const [i, worker] of workers.entries()) {
    terminal.say(heads[i])
    for (const line of columns(worker.modes.map((mode) => [`    ${plain(mode.mode, 40)}`, modeLine(mode, terminal)]))) terminal.say(line)
  }
  if (!workers.some(takes)) terminal.say(terminal.paint('yellow', 'No worker takes tasks now: they wait in the queue and are not lost.'))
}

const takes = (worker: WorkerAnswer): boolean => worker.modes.some((mode) => mode.available)

function stateOf(worker: WorkerAnswer, { paint }: Terminal): string {
  if (worker.draining) return paint('yellow', 'draining')
  if (!takes(worker)) return paint('red', 'off')
  return worker.modes.every((mode) => mode.available) ? paint('green', 'ok') : paint('yellow', 'partly off')
}

function modeLine({ available, reason, engine_id }: WorkerAnswer['modes'][number], { paint }: Terminal): string {
  if (reason !== undefined) return paint('yellow', `off: ${plain(reason, 300)}`)
  const engine = engine_id === undefined ? '' : `, engine ${plain(engine_id, 80)}`
  return `${available ? 'takes tasks' : 'takes none'}${engine}`
}

export const workerCommands: readonly Command[] = [list, drain]

import { randomUUID } from 'node:crypto'
import { isOver, MessageType, Mode, Network, NETWORKS } from '@longshore/contracts'
import { type Command, Complaint, type Context, type Input, type Option } from '../command.ts'
import { CHOICE_OPTIONS, choicesIn } from '../choice-options.ts'
import { durationOption } from '../duration-option.ts'
import type { TaskAnswer } from '../gateway-client.ts'
import { GIT_OPTIONS, workspaceFrom } from '../git-options.ts'
import { gatewayOf } from '../stack.ts'
import { followTask } from '../follow-task.ts'
import { eventLine, showTask, showTasks } from '../task-lines.ts'

export const URL_OPTION: Option = { type: 'string', value: 'URL', about: 'The gateway. Default: the one that runs in LONGSHORE_HOME, else MCP_HOST and MCP_PORT.' }
export const JSON_OPTION: Option = { type: 'boolean', about: 'Print JSON, for programs.' }

const REASON_OPTION: Option = { type: 'string', value: 'TEXT', about: 'Why; kept in the history of the task.' }

export const urlOf = ({ options }: Input): string | undefined => options['url'] as string | undefined

const submit: Command = {
  name: 'submit',
  words: ['"PROMPT"'],
  about: 'Submit a task as the local agent.',
  options: {
    mode: { type: 'string', value: 'MODE', about: 'docker or opencode. Default: the rollout decides.' },
    ...CHOICE_OPTIONS,
    network: { type: 'string', value: 'NETWORK', about: 'What the agent may reach: provider, allowlist or full. Default: EGRESS_POLICY.' },
    'timeout-ms': { type: 'string', value: 'MS', about: 'Time limit of the run. Default: RUNNER_TIMEOUT_MS.' },
    'queue-ttl': { type: 'string', value: 'TIME', about: 'How long it may wait for its first start: 90s, 15m, 2h, 1d. Default: QUEUE_TTL_MS.' },
    permissions: { type: 'string', value: 'JSON', about: 'What the agent may do without asking, as {"bash":"ask"}: takes away from what PERMISSIONS allows.' },
    'callback-url': { type: 'string', value: 'URL', about: 'Where what happens to it is posted as signed webhooks: one of WEBHOOK_CALLBACK_ALLOW.' },
    'idempotency-key': { type: 'string', value: 'KEY', about: 'The same key gets the same task for 24 hours.' },
    ...GIT_OPTIONS,
    sync: { type: 'boolean', about: 'Follow the task until it is over; exit code 0 only when it completed.' },
    url: URL_OPTION, json: JSON_OPTION,
  },
  notes: ['longshore submit "Fix the failing test in src/parse.ts" --git https://git.example/team/app.git --sync', 'longshore submit "Summarise notes.md" --file ~/notes.md --sync'],
  async run(input, context) {
    const { options, words } = input
    const mode = options['mode'] === undefined ? undefined : parseMode(options['mode'] as string)
    const network = options['network'] === undefined ? undefined : parseNetwork(options['network'] as string)
    const timeout = options['timeout-ms'] === undefined ? undefined : wholeNumber('--timeout-ms', options['timeout-ms'] as string)
    const queueTtl = options['queue-ttl'] === undefined ? undefined : durationOption('--queue-ttl', options['queue-ttl'] as string)
    const permissions = options['permissions'] === undefined ? undefined : parsePermissions(options['permissions'] as string)
    const gateway = await gatewayOf(context, 'agent', urlOf(input))
    const task = await gateway.submit({
      task_description: words[0] ?? '',
      // A lost answer must not mean two tasks (G2).
      idempotency_key: (options['idempotency-key'] as string | undefined) ?? randomUUID(),
      ...choicesIn(options), ...(mode === undefined ? {} : { mode }), ...(network === undefined ? {} : { network }), ...(timeout === undefined ? {} : { timeout_ms: timeout }),
      ...(queueTtl === undefined ? {} : { queue_ttl_ms: queueTtl }), ...(permissions === undefined ? {} : { permissions }),
      ...(options['callback-url'] === undefined ? {} : { callback_url: options['callback-url'] as string }),
      ...await workspaceFrom(options),
    })
    if (options['sync'] === true) return follow(task.task_id, input, context)
    if (options['json'] === true) context.terminal.say(JSON.stringify(task, null, 2))
    else {
      context.terminal.say(`${task.task_id}  ${task.status}, ${task.mode} mode`)
      context.terminal.say(`Follow it: longshore watch ${task.task_id}`)
    }
    return 0
  },
}

const watch: Command = {
  name: 'watch',
  words: ['TASK'],
  about: 'Show the events of a task as they come, until it is over.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  notes: ['Exit code 0 when the task completed, 1 when it ended otherwise. Ctrl-C stops watching, not the task.'],
  run: (input, context) => follow(input.words[0] ?? '', input, context),
}

async function follow(taskId: string, input: Input, context: Context): Promise<number> {
  const { terminal, signal } = context
  const gateway = await gatewayOf(context, 'operator', urlOf(input))
  const isJson = input.options['json'] === true
  const task = await followTask(gateway, taskId, (event) => terminal.say(isJson ? JSON.stringify(event) : eventLine(event, terminal.paint)), signal)
  if (task === undefined) return 0
  if (!isJson) {
    terminal.say()
    showTask(task, terminal)
  }
  return task.status === 'completed' ? 0 : 1
}

const status: Command = {
  name: 'status',
  words: ['TASK'],
  about: 'Show how a task stands, with its result once it is over.',
  options: { url: URL_OPTION, json: JSON_OPTION },
  async run(input, context) {
    const task = await (await gatewayOf(context, 'operator', urlOf(input))).status(input.words[0] ?? '')
    if (input.options['json'] === true) context.terminal.say(JSON.stringify(task, null, 2))
    else showTask(task, context.terminal)
    return 0
  },
}

const list: Command = {
  name: 'list',
  words: [],
  about: 'List tasks of all agents, newest first.',
  options: { limit: { type: 'string', value: 'N', about: 'At most this many, 1 to 200. Default: 20.' }, url: URL_OPTION, json: JSON_OPTION },
  async run(input, context) {
    const limit = wholeNumber('--limit', (input.options['limit'] as string | undefined) ?? '20')
    const tasks: TaskAnswer[] = await (await gatewayOf(context, 'operator', urlOf(input))).list(limit)
    if (input.options['json'] === true) context.terminal.say(JSON.stringify(tasks, null, 2))
    else if (tasks.length === 0) context.terminal.say('No tasks yet. Submit one: longshore submit "PROMPT"')
    else showTasks(tasks, context.terminal)
    return 0
  },
}

const controls: readonly Command[] = ([
  ['cancel', 'Cancel a task.'],
  ['pause', 'Stop a task where it stands: its session and workspace are kept, its time limit stands still.'],
  ['resume', 'Let a paused task go on.'],
] as const).map(([control, about]) => ({
  name: control,
  words: ['TASK'],
  about,
  options: { ...(control === 'resume' ? {} : { reason: REASON_OPTION }), url: URL_OPTION },
  async run(input, context) {
    const answer = await (await gatewayOf(context, 'operator', urlOf(input))).control(input.words[0] ?? '', control, input.options['reason'] as string | undefined)
    context.terminal.say(`${answer.message}${isOver(answer.status) ? '' : ` Now: ${answer.status}.`}`)
    return 0
  },
}))

const answerCommand: Command = {
  name: 'answer',
  words: ['TASK', 'ANSWER'],
  about: 'Answer what the agent of a task asks: a choice, or a text where that is allowed. "longshore status TASK" shows it.',
  options: {
    input: { type: 'string', value: 'INPUT', about: 'Which question. Not needed while only one is open.' },
    message: { type: 'string', value: 'TEXT', about: 'With deny: why not, or what else to do; the agent reads it.' },
    url: URL_OPTION,
  },
  notes: ['Permissions: allow (this once), always (for the rest of the task), deny.', 'longshore answer task-… deny --message "Never push; leave that to me"'],
  async run(input, context) {
    const [taskId = '', given = ''] = input.words
    const { input: inputId, message } = input.options
    const done = await (await gatewayOf(context, 'operator', urlOf(input))).answer(taskId, {
      answer: given, ...(inputId === undefined ? {} : { input_id: inputId as string }), ...(message === undefined ? {} : { message: message as string }),
    })
    context.terminal.say(`${done.input_id}  ${done.message}`)
    return 0
  },
}

const tell: Command = {
  name: 'tell',
  words: ['TASK', '"MESSAGE"'],
  about: 'Tell the agent of a task something; it reads it at its next step.',
  options: { type: { type: 'string', value: 'TYPE', about: `What it is about: ${MessageType.options.join(', ')}. Default: guidance.` }, url: URL_OPTION },
  notes: ['longshore tell task-… "Leave the public API as it is"'],
  async run(input, context) {
    const [taskId = '', message = ''] = input.words
    const type = MessageType.safeParse(input.options['type'] ?? 'guidance')
    if (!type.success) throw new Complaint(`--type: got "${String(input.options['type'])}", allowed: ${MessageType.options.join(', ')}.`)
    const answer = await (await gatewayOf(context, 'operator', urlOf(input))).tell(taskId, { message, message_type: type.data })
    context.terminal.say(`${answer.message_id}  ${answer.message}`)
    return 0
  },
}

function parseMode(text: string): string {
  const mode = Mode.safeParse(text)
  if (!mode.success) throw new Complaint(`--mode: got "${text}", allowed: docker or opencode.`)
  return mode.data
}

function parsePermissions(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Complaint('--permissions: not JSON; give something like {"bash":"ask"}.')
  }
}

/** @throws Complaint */
function parseNetwork(text: string): Network {
  const network = Network.safeParse(text)
  if (!network.success) throw new Complaint(`--network: got "${text}", allowed: ${NETWORKS.join(', ')}.`)
  return network.data
}

/** @throws Complaint */
export function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Complaint(`${option}: got "${text}", allowed: a whole number.`)
  return Number(text)
}

export const taskCommands: readonly Command[] = [submit, watch, status, list, tell, answerCommand, ...controls]

import type { EventAnswer, TaskAnswer } from './gateway-client.ts'
import { columns, duration, plain, type Terminal } from './terminal.ts'

const STATE_STYLE = { queued: 'yellow', running: 'cyan', paused: 'yellow', input_required: 'magenta', completed: 'green', failed: 'red', timeout: 'red', cancelled: 'dim' } as const
const EVENT_STYLE: Readonly<Record<string, 'green' | 'red' | 'yellow' | 'dim' | 'cyan'>> = {
  'task.completed': 'green', 'task.failed': 'red', 'task.timeout': 'red', 'task.cancelled': 'yellow', 'task.retrying': 'yellow', 'task.resumed': 'yellow', 'task.adopted': 'yellow', 'task.paused': 'yellow', 'task.input_required': 'yellow', 'task.input_answered': 'cyan', 'task.message': 'cyan', 'task.message_delivered': 'dim', 'task.usage': 'dim', 'task.queued': 'dim', 'task.tool': 'cyan',
}
/** The longest kinds that come often: `file_changed`. */
const KIND_WIDTH = 13

/** One event on one line: `   3  tool          write: hello.txt (completed)`. */
export function eventLine(event: EventAnswer, paint: Terminal['paint']): string {
  const kind = plain(event.type.replace(/^task\./, ''), 24)
  // Most messages begin with the kind: once is enough.
  const message = event.message.startsWith(`${kind} `) ? event.message.slice(kind.length + 1) : event.message
  return `${String(event.seq).padStart(4)}  ${paint(EVENT_STYLE[event.type] ?? 'reset', kind.padEnd(KIND_WIDTH))} ${plain(message, 160)}`
}

/** How a task stands, line by line; the output comes last because it may be long. */
export function showTask(task: TaskAnswer, terminal: Terminal): void {
  const rows = [
    ['task', task.task_id], ['title', plain(task.title)], ['status', terminal.paint(STATE_STYLE[task.status], task.status)],
    ['mode', task.mode], ['agent', task.agent_id],
    ...(task.attempt > 1 ? [['attempt', String(task.attempt)]] : []),
    ...(task.duration_ms === undefined ? [] : [['duration', duration(task.duration_ms)]]),
    ...(task.files_changed === undefined ? [] : [['files', `${task.files_changed} changed`]]),
    ...(task.sent_files === undefined ? [] : [['sent', plain(task.sent_files.map(({ path, size }) => `${path} (${size} bytes)`).join(', '), 1_000)]]),
    ...(task.inputs ?? []).flatMap((input) => inputRows(input, task.task_id)),
    ...(task.git === undefined ? [] : [['git', gitLine(task.git)]]),
    ...(task.messages_waiting === undefined ? [] : [['messages', `${task.messages_waiting} not read yet`]]),
    ...(task.undelivered_messages === undefined ? [] : [['messages', `${task.undelivered_messages.length} never reached the agent`]]),
    ...(task.error === undefined ? [] : [['error', plain(`${task.error}${task.error_code === undefined ? '' : ` (${task.error_code})`}`, 500)]]),
    ...(task.limit === undefined ? [] : [['limit', limitLine(task.limit, task)]]),
  ]
  for (const line of columns(rows)) terminal.say(line)
  if (task.output === undefined || task.output.trim() === '') return
  terminal.say()
  for (const line of task.output.trimEnd().split('\n')) terminal.say(plain(line, 2_000))
}

/** What is asked, what can be answered, and the words to do it. */
function inputRows({ input_id, question, choices, free_text }: NonNullable<TaskAnswer['inputs']>[number], taskId: string): string[][] {
  const may = [...choices.map((choice) => plain(choice, 80)), ...(free_text ? ['any text'] : [])].join(' | ')
  return [['asks', plain(question, 500)], ['', may], ['', `longshore answer ${taskId} ANSWER --input ${input_id}`]]
}

/** Where it started, and where its result is. */
function gitLine({ commit, branch, push_error }: NonNullable<TaskAnswer['git']>): string {
  const result = push_error === undefined ? branch === undefined ? '' : `, pushed as ${branch}` : `, not pushed: ${push_error}`
  return plain(`from ${commit.slice(0, 12)}${result}`, 500)
}

/** Which limit ended it, and what that means. */
function limitLine(limit: string, { timeout_ms, queue_ttl_ms }: TaskAnswer): string {
  if (limit === 'queue_ttl_ms' && queue_ttl_ms !== undefined) return `${limit}: no worker was free to start it within ${duration(queue_ttl_ms)}`
  if (limit === 'timeout_ms' && timeout_ms !== undefined) return `${limit}: it may run for ${duration(timeout_ms)}`
  return plain(limit, 80)
}

/** A table of tasks, as it comes: newest first. */
export function showTasks(tasks: readonly TaskAnswer[], terminal: Terminal): void {
  const rows = tasks.map((task) => [task.task_id, task.status, task.mode, task.created_at.slice(0, 19).replace('T', ' '), plain(task.title, 60)])
  for (const line of columns([['TASK', 'STATUS', 'MODE', 'CREATED (UTC)', 'TITLE'], ...rows])) terminal.say(line)
}

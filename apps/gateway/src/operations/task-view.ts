import { Budget, Choices, choicesOf, GitResult, InputKind, isOver, Mode, Network, type StoredInput, type TaskWorkspace, TimeLimit, Usage } from '@longshore/contracts'
import type { TaskSummary } from '@longshore/ledger'
import { z } from 'zod'
import { StatusField, Timestamp, toTimestamp } from './parameters.ts'

/** What an agent wants to know and nobody has answered yet. */
export const InputView = z.object({
  input_id: z.string(),
  kind: InputKind.describe('permission: the agent wants to do something. question: it wants to know something.'),
  question: z.string(),
  choices: z.array(z.string()).describe('What can be answered. Of a permission: allow (this once), always (for the rest of the task), deny.'),
  free_text: z.boolean().describe('Whether another text is an answer, too.'),
  multiple: z.boolean().describe('Whether more than one choice may be taken.'),
  asked_at: Timestamp,
  expires_at: Timestamp.optional().describe('After that the answer is the policy\'s. Absent while the task is paused.'),
  unanswered: z.string().describe('What holds then.'),
})

export function viewInputs(inputs: readonly StoredInput[]): z.infer<typeof InputView>[] {
  return inputs.filter(({ status }) => status === 'open').map(viewInput)
}

function viewInput({ input_id, kind, question, choices, free_text, multiple, asked_at, expires_at, unanswered }: StoredInput): z.infer<typeof InputView> {
  return {
    input_id, kind, question, choices, free_text, multiple, asked_at: toTimestamp(asked_at), ...(expires_at === undefined ? {} : { expires_at: toTimestamp(expires_at) }),
    unanswered: kind === 'permission' ? unanswered : 'the agent goes on without',
  }
}

/** A task as callers see it: what `get_task_status` and a finished sync call answer. */
export const TaskView = z.object({
  task_id: z.string(),
  status: StatusField,
  title: z.string(),
  agent_id: z.string(),
  mode: Mode.describe('Backend that runs the task, chosen at submission.'),
  profile: z.string().describe('Which agent runs it.'),
  ...Choices.shape,
  attempt: z.int().describe('The try that runs or ran, from 1; 0 before the first start.'),
  max_attempts: z.int(),
  timeout_ms: z.int().describe('Time limit of the run, from its first start.'),
  queue_ttl_ms: z.int().optional().describe('Time limit of the wait for the first start. Absent: it may wait for ever.'),
  created_at: Timestamp,
  started_at: Timestamp.optional(),
  completed_at: Timestamp.optional().describe('When the task ended, in whichever way. RFC 3339, UTC'),
  deadline_at: Timestamp.optional().describe('When timeout_ms will be over. RFC 3339, UTC'),
  duration_ms: z.int().optional().describe('From the start to the end, or to now while it runs.'),
  worker: z.string().optional(),
  cancel_requested: z.boolean().optional().describe('True while the owner of the task carries out a cancel.'),
  pause_requested: z.boolean().optional().describe('True while the owner of the task stops it for a pause.'),
  paused_at: Timestamp.optional().describe('Since when it is paused. RFC 3339, UTC'),
  asking: z.int().optional().describe('Questions and permissions of the agent that are open: get_task_status names them, answer_task_input answers.'),
  messages_waiting: z.int().optional().describe('Messages that have not reached the agent yet.'),
  undelivered_messages: z.array(z.string()).optional().describe('Ids of messages that had not reached the agent when the task ended.'),
  network: Network.optional().describe('What its agent may reach, as it was asked for; absent: the deployment\'s EGRESS_POLICY.'),
  budget: Budget.optional().describe('What all its attempts may use together.'),
  spent: z.object({ tokens: z.int(), cost_micros: z.int() }).optional().describe('What it has used of that, also while it runs: tokens without those read from the provider\'s cache.'),
  workspace: z.object({ git: z.object({ url: z.string(), ref: z.string().optional(), credential: z.string().optional(), push: z.boolean().optional() }).optional(), name: z.string().optional(), files: z.object({ count: z.int(), bytes: z.int(), sha256: z.string() }).optional().describe('Files that were sent along.') }).optional().describe('What the agent found in its workspace at its start. Absent: an empty repository.'),
  git: GitResult.optional().describe('The commit that the agent started from, and where the result was pushed, or why not.'),
  output: z.string().optional().describe('The last of what the agent said.'),
  output_truncated: z.boolean().optional(),
  exit_code: z.int().optional(),
  files_changed: z.int().optional(),
  usage: Usage.optional(),
  archived_at: Timestamp.optional().describe('When its conversation was archived: get_task_conversation reads it. RFC 3339, UTC'),
  error: z.string().optional().describe('Why the task failed, for people.'),
  error_code: z.string().optional().describe('Why the task failed, for programs.'),
  limit: z.string().optional().describe(`Which limit ended a task with status timeout: ${TimeLimit.options.join(', ')}.`),
})
export type TaskView = z.infer<typeof TaskView>

/** @param now ms since the epoch, for the duration of a task that still runs */
export function viewTask(task: TaskSummary, now: number): TaskView {
  const { result, failure } = task
  return {
    task_id: task.id,
    status: task.state,
    title: task.title,
    agent_id: task.agent_id,
    mode: task.mode,
    profile: task.profile,
    ...choicesOf(task),
    attempt: task.attempt,
    max_attempts: task.max_attempts,
    timeout_ms: task.timeout_ms,
    ...(task.queue_ttl_ms === undefined ? {} : { queue_ttl_ms: task.queue_ttl_ms }),
    created_at: toTimestamp(task.created_at),
    ...(task.started_at === undefined ? {} : { started_at: toTimestamp(task.started_at), duration_ms: Math.max(0, (task.ended_at ?? now) - task.started_at) }),
    ...(task.ended_at === undefined ? {} : { completed_at: toTimestamp(task.ended_at) }),
    ...(task.deadline_at === undefined || isOver(task.state) ? {} : { deadline_at: toTimestamp(task.deadline_at) }),
    ...(task.worker === undefined ? {} : { worker: task.worker }),
    ...(task.cancel_requested === undefined ? {} : { cancel_requested: true }),
    ...(task.network === undefined ? {} : { network: task.network }),
    ...(task.budget === undefined ? {} : { budget: task.budget }),
    ...(task.tokens === undefined ? {} : { spent: { tokens: task.tokens, cost_micros: task.cost_micros ?? 0 } }),
    ...(task.pause_requested === undefined ? {} : { pause_requested: true }),
    ...(task.paused_at === undefined || task.state !== 'paused' ? {} : { paused_at: toTimestamp(task.paused_at) }),
    ...(task.asking === undefined || task.asking === 0 ? {} : { asking: task.asking }),
    ...(task.messages_waiting === undefined || task.messages_waiting === 0 ? {} : { messages_waiting: task.messages_waiting }),
    ...(task.undelivered === undefined ? {} : { undelivered_messages: task.undelivered }),
    ...(result === undefined ? {} : { output: result.output, output_truncated: result.output_truncated, files_changed: result.files_changed }),
    ...(result?.exit_code === undefined ? {} : { exit_code: result.exit_code }),
    ...(task.workspace === undefined ? {} : { workspace: viewWorkspace(task.workspace) }),
    ...(result?.git === undefined ? {} : { git: result.git }),
    ...(result?.usage === undefined ? {} : { usage: result.usage }),
    ...(task.archived === undefined || task.archived.gone !== undefined ? {} : { archived_at: toTimestamp(task.archived.at) }),
    ...(failure === undefined ? {} : { error: failure.message, error_code: failure.code }),
    ...(task.limit === undefined ? {} : { limit: task.limit }),
  }
}

/** Where its files lie is the deployment's own affair. */
function viewWorkspace({ files, ...rest }: TaskWorkspace): TaskView['workspace'] {
  return files === undefined ? rest : { ...rest, files: { count: files.count, bytes: files.bytes, sha256: files.sha256 } }
}

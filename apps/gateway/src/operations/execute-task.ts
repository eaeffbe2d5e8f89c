import { AgentId, Budget, CallbackUrl, Choices, choicesOf, DEFAULT_PROFILE, IdempotencyKey, ImageName, isCallbackAllowed, isOver, LongshoreError, MAX_OBSERVERS, MAX_QUEUE_TTL_MS, MAX_TITLE_CHARACTERS, MAX_TIMEOUT_MS, MIN_TIMEOUT_MS, Mode, ModelName, Network, NewTask, Observer, PermissionPolicy, ProfileName, Prompt, QueueTtlMs, refusalOf, type Task, TimeoutMs, titleOf, withheldFrom, WorkspaceRequest } from '@longshore/contracts'
import { chooseMode } from '@longshore/rollout'
import { budgetFrom } from '@longshore/runtime'
import { z } from 'zod'
import { actingAgent } from './acting-agent.ts'
import { type Call, defineOperation, type Operation, type Ports } from './operation.ts'
import { knownProfile, servingMode, type Wanted } from './serving-mode.ts'
import { submitWith } from './sent-files.ts'
import { waitForEnd } from './wait-for-end.ts'
import { TaskView, viewTask } from './task-view.ts'

const Input = z.strictObject({
  agent_id: AgentId.optional().describe('The agent that the task is for. Not needed with an agent\'s key, and then accepted only if it is the key\'s own agent; required with an operator\'s key.'),
  task_description: Prompt.describe('The work, in words: what the coding agent gets as its prompt. At most 256 KiB.'),
  idempotency_key: IdempotencyKey.optional()
    .describe('The same key from the same agent gets the same task for 24 hours: send it again after a lost answer. With other input it is refused.'),
  timeout_ms: TimeoutMs.optional().describe(`Time limit of the run in milliseconds, ${MIN_TIMEOUT_MS} to ${MAX_TIMEOUT_MS}. Default: the deployment's RUNNER_TIMEOUT_MS.`),
  queue_ttl_ms: QueueTtlMs.optional()
    .describe(`How long the task may wait for its first start, in milliseconds, ${MIN_TIMEOUT_MS} to ${MAX_QUEUE_TTL_MS}; when no worker was free by then it ends as timeout. Default: the deployment's QUEUE_TTL_MS.`),
  sync: z.boolean().default(false).describe('Wait for the end, for a bounded time (SYNC_WAIT_MS); if the task still runs then, it goes on and get_task_status tells.'),
  observers: z.array(Observer).max(MAX_OBSERVERS).default([]).describe('Matrix user ids, @name:server: mentioned when the task is over, if they are in the deployment\'s room.'),
  mode: Mode.optional().describe('Backend to run in. Default: the deployment\'s rollout policy decides.'),
  title: z.string().trim().min(1).max(MAX_TITLE_CHARACTERS).optional().describe('Short name for lists and cards. Default: the first line of task_description.'),
  profile: ProfileName.optional().describe('Which agent runs in the container: one of the deployment\'s profiles. Default: opencode.'),
  model: ModelName.optional().describe('Model, as the profile\'s agent names it: provider/model for OpenCode. One of the deployment\'s TASK_MODELS. Default: the deployment\'s.'),
  image: ImageName.optional().describe('Image of the container: one of the deployment\'s TASK_IMAGES. Default: the profile\'s.'),
  cpu: Choices.shape.cpu.describe('CPUs of the container, fractions allowed, within TASK_MAX_CPUS. Default: the profile\'s.'),
  memory_mb: Choices.shape.memory_mb.describe('Memory of the container in MiB, within TASK_MAX_MEMORY. Default: the profile\'s.'),
  env: Choices.shape.env.describe('Names of variables that the agent needs, of the deployment\'s TASK_ENV_NAMES. Names only: their values are the operator\'s.'),
  budget_tokens: Budget.shape.tokens.describe('What the task may use over all its attempts, in tokens, without those read from the provider\'s cache; past it the task ends as failed with the code budget. Default, and most: the deployment\'s TASK_TOKENS.'),
  budget_cost_micros: Budget.shape.cost_micros.describe('The same in millionths of the provider\'s currency. Default, and most: TASK_COST_MICROS.'),
  permissions: PermissionPolicy.optional()
    .describe('What the agent may do without asking, by tool (* for all others): allow, ask, deny, or patterns with these, of which the last that fits counts. Takes away from what the deployment allows, never adds. ask waits for answer_task_input.'),
  input_ttl_ms: QueueTtlMs.optional().describe('How long a question of the agent waits for an answer, in milliseconds. Default: the deployment\'s INPUT_TTL_MS.'),
  workspace: WorkspaceRequest.optional().describe('What the agent finds in its workspace. Default: an empty repository.'),
  network: Network.optional().describe('What the agent may reach besides its model provider: provider (nothing else), allowlist (the deployment\'s EGRESS_ALLOW), full (every public host). Default: the deployment\'s EGRESS_POLICY; more than its EGRESS_MOST is refused.'),
  callback_url: CallbackUrl.optional().describe('Where what happens to the task is posted as signed webhooks (docs/guides/webhooks.md): one of the addresses that the deployment allows (WEBHOOK_CALLBACK_ALLOW).'),
  max_attempts: NewTask.shape.max_attempts.removeDefault().optional().describe('How often the task may be started when the cause of a failure is expected to pass, 1 to 10. Default: 3.'),
})

const Output = z.object({
  ...TaskView.shape,
  is_new: z.boolean().describe('False when the idempotency key already had this task.'),
  message: z.string(),
  timeout_hint: z.string().optional().describe('Present when sync=true waited in vain.'),
})

/** Accepts a task (G1, G2), and with sync=true waits for its end. */
export function executeTask(ports: Ports): Operation {
  return defineOperation({
    name: 'opencode_execute_task',
    title: 'Run a coding task',
    description: 'Gives a task to a coding agent (OpenCode) in a sandbox. Returns at once with a task_id; ask get_task_status for the result, or set sync=true to wait a while.',
    input: Input,
    output: Output,
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: true },
    scope: 'tasks',
    route: { method: 'POST', path: '/api/tasks', status: 202 },
    isTool: true,
    patienceMs: (input) => (input.sync ? ports.limits.syncWaitMs : 0),
    async handle(input, call) {
      const { task: asked, isServed } = await newTask(ports, input, call)
      const files = input.workspace?.files ?? []
      const { task, isNew, ticket } = await submitWith(ports, asked, files.length === 0 ? undefined : () => ports.sent.put(asked.id, files), ports.limits.ofAgent)
      if (ticket !== undefined) ports.dispatch(ticket)
      if (!input.sync) return answer(ports, task, isNew, isServed)
      const waited = await waitForEnd(ports, task, call)
      if (isOver(waited.state)) return answer(ports, waited, isNew)
      return { ...answer(ports, waited, isNew), timeout_hint: `The task is still ${waited.state} after ${ports.limits.syncWaitMs} ms and goes on. Ask get_task_status with this task_id.` }
    },
  })
}

async function newTask(ports: Ports, input: z.output<typeof Input>, call: Call): Promise<{ task: NewTask; isServed: boolean }> {
  const agentId = actingAgent(call, input.agent_id)
  const policy = await ports.rollout.get()
  const wanted = wantedOf(ports, input, agentId)
  const isPlain = wanted.profile === DEFAULT_PROFILE && wanted.choices === undefined
  const { mode, isServed } = servingMode(wanted, chooseMode({ policy, stickyKey: agentId, explicit: input.mode }), input.mode, isPlain ? [] : await ports.workers())
  const asked = budgetFrom(input.budget_tokens, input.budget_cost_micros)
  const budget = budgetOf(asked, ports.limits.taskBudget)
  const task: NewTask = {
    id: ports.newTaskId(),
    agent_id: agentId,
    prompt: input.task_description,
    title: input.title === undefined ? titleOf(input.task_description) : titleOf(input.title),
    mode,
    ...(input.mode === undefined ? {} : { mode_asked: true as const }),
    profile: wanted.profile,
    ...wanted.choices,
    timeout_ms: input.timeout_ms ?? ports.limits.defaultTimeoutMs,
    queue_ttl_ms: input.queue_ttl_ms ?? ports.limits.defaultQueueTtlMs,
    paused_ttl_ms: ports.limits.pausedTtlMs,
    ...(ports.limits.pausedEnd === 'timeout' ? {} : { paused_end: ports.limits.pausedEnd }),
    ...(input.permissions === undefined ? {} : { permissions: input.permissions }),
    ...(input.input_ttl_ms === undefined ? {} : { input_ttl_ms: input.input_ttl_ms }),
    ...(budget === undefined ? {} : { budget }),
    ...(asked === undefined ? {} : { budget_asked: asked }),
    ...workspaceOf(input.workspace),
    ...networkOf(input.network, ports.limits.networks),
    max_attempts: attemptsOf(ports, input.max_attempts),
    observers: input.observers,
    ...callbackOf(input.callback_url, ports.limits.callbacks),
    ...(input.idempotency_key === undefined ? {} : { idempotency_key: input.idempotency_key }),
  }
  return { task, isServed }
}

/** Without its files, which come to it when they are put away. */
function workspaceOf({ git, name }: Partial<WorkspaceRequest> = {}): Pick<NewTask, 'workspace'> {
  return git === undefined && name === undefined ? {} : { workspace: { ...(git === undefined ? {} : { git }), ...(name === undefined ? {} : { name }) } }
}

/** What the task asks for, within what the deployment allows. @throws LongshoreError invalid_input that names what is allowed */
function wantedOf({ profiles, allowed, policy }: Ports, input: z.output<typeof Input>, agentId: AgentId): Wanted {
  const profile = knownProfile(input.profile, profiles)
  const plain = input.mode !== 'opencode' && profiles[profile]?.driver === 'command' ? profiles[profile] : undefined
  const withheld = plain?.unasked === false ? withheldFrom(policy, agentId) : undefined
  if (withheld !== undefined) {
    throw new LongshoreError('invalid_input', `profile: ${profile} runs a plain command, which asks nobody, and the deployment withholds ${withheld.tool} from ${agentId}`, { field: 'profile', next: `Choose a profile that runs a coding agent, or ask the operator (${withheld.setting}, or unasked in PROFILES_FILE).` })
  }
  if (input.permissions !== undefined && plain !== undefined) {
    throw new LongshoreError('invalid_input', `permissions: the profile ${profile} runs a plain command, which asks nobody what it may do`, { field: 'permissions', next: 'Leave them out, or choose a profile that runs a coding agent.' })
  }
  const choices = choicesOf(input)
  const refusal = choices === undefined ? undefined : refusalOf(choices, allowed)
  if (refusal === undefined) return { profile, choices }
  throw new LongshoreError('invalid_input', `${refusal.field}: got ${refusal.got}, allowed: ${refusal.allowed}`, { field: refusal.field, next: `Leave it out, or ask the operator (${refusal.setting}).` })
}

function attemptsOf({ limits }: Ports, asked: number | undefined): number {
  if (asked !== undefined && asked > limits.maxAttempts) throw new LongshoreError('invalid_input', `max_attempts: got ${asked}, allowed: at most ${limits.maxAttempts} here`, { field: 'max_attempts', next: 'Ask for less, or leave it out.' })
  return asked ?? Math.min(limits.maxAttempts, NewTask.shape.max_attempts.parse(undefined))
}

/** What the task asks for, if workers give it. @throws LongshoreError invalid_input */
function networkOf(asked: Network | undefined, allowed: readonly Network[]): { network?: Network } {
  if (asked === undefined) return {}
  if (allowed.includes(asked)) return { network: asked }
  throw new LongshoreError('invalid_input', `network: got ${asked}, allowed: ${allowed.join(', ')} here`, { field: 'network', next: 'Ask for one of these, or leave it out; the operator\'s settings are EGRESS and EGRESS_MOST.' })
}

/** The address itself is not repeated: a secret may stand in it. @throws LongshoreError invalid_input */
function callbackOf(asked: string | undefined, allowed: readonly string[]): { callback_url?: string } {
  if (asked === undefined) return {}
  if (isCallbackAllowed(asked, allowed)) return { callback_url: asked }
  const where = allowed.length === 0 ? 'none here' : allowed.map((prefix) => (prefix === 'https://*' ? prefix : `${prefix} and what is beneath`)).join(', ')
  throw new LongshoreError('invalid_input', `callback_url: got an address on ${new URL(asked).origin}, allowed: ${where}`, { field: 'callback_url', next: 'Give one of these, or leave it out; the operator\'s setting is WEBHOOK_CALLBACK_ALLOW.' })
}

/** What the task asks for, within what the deployment allows. @throws LongshoreError invalid_input */
function budgetOf(asked: Budget | undefined, most: Budget | undefined): Budget | undefined {
  for (const unit of ['tokens', 'cost_micros'] as const) {
    const limit = most?.[unit]
    if (limit !== undefined && (asked?.[unit] ?? 0) > limit) {
      throw new LongshoreError('invalid_input', `budget_${unit}: got ${asked?.[unit]}, allowed: at most ${limit} here`, { field: `budget_${unit}`, next: 'Ask for less, or leave it out.' })
    }
  }
  return asked === undefined ? most : { ...most, ...asked }
}

function answer(ports: Ports, task: Task, isNew: boolean, isServed = true): z.output<typeof Output> {
  const waits = isServed ? '' : ` No worker that is there takes such tasks now (profile ${task.profile}): it waits for one.`
  const message = isNew ? `Task ${task.state}. Ask get_task_status with this task_id.${waits}` : 'Task already exists (idempotency key match).'
  return { ...viewTask(task, ports.now()), is_new: isNew, message }
}

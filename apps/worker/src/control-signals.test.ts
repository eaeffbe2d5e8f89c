import { openStorage } from '@longshore/backends'
import { openSharedDirectory } from '@longshore/blobs'
import { type Backend, SILENT, TASK_STATES, type TaskState } from '@longshore/contracts'
import { loadSettings, readProfiles } from '@longshore/runtime'
import { sharedRedisUrl } from '@longshore/testkit'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { keysOf } from '@longshore/ledger'

import { buildBackends } from './build-backends.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
let root: string
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
  root = await mkdtemp(join(tmpdir(), 'longshore-signals-'))
})
afterEach(async () => {
  await stack.stop()
  await rm(root, { recursive: true, force: true })
})

const SIGNALS = ['cancel', 'pause', 'resume', 'message', 'answer'] as const
const INPUT = 'input-00000000000000aa'
/** What callers read, by what the ledger answers. */
const WORDS: Readonly<Record<string, string>> = {
  ended: 'over at once', requested: 'asked of its owner', paused: 'paused at once', resumed: 'back in the queue', withdrawn: 'taken back', unchanged: 'no change',
  waiting: 'waits for the agent', answered: 'taken', already_over: 'refused: task_over',
}

/** What the ledger really does with a task in that state. */
async function answerOf(signal: (typeof SIGNALS)[number], state: TaskState): Promise<string> {
  const { id } = await stack.submit('x')
  await stack.redis.hset(keysOf(stack.deployment).task(id), 'state', state)
  if (signal === 'answer') {
    await stack.redis.hset(keysOf(stack.deployment).inputs(id), INPUT, '{}', `${INPUT} status`, 'open')
    await stack.redis.hset(keysOf(stack.deployment).task(id), 'asking', 1)
  }
  const { ledger } = stack
  const answer = await {
    cancel: () => ledger.cancel(id, 'op'),
    pause: () => ledger.pause(id, 'op'),
    resume: () => ledger.resume(id, 'op'),
    answer: () => ledger.answer(id, INPUT, { choices: ['yes'], by: 'op' }),
    message: () => ledger.post(id, { message_id: 'm1', message_type: 'update', by: 'op', text: 'hello' }),
  }[signal]()
  if (signal === 'cancel' && state === 'cancelled') return 'no change'
  return WORDS[answer?.outcome ?? ''] ?? `? ${answer?.outcome}`
}

async function backends(env: Record<string, string>): Promise<Backend[]> {
  const storage = await openStorage(join(root, 'workspaces'))
  const settings = loadSettings({ LONGSHORE_HOME: root, ...env })
  return buildBackends({ settings, profiles: await readProfiles(settings), env: {}, uid: 1000, gid: 1000, storage, blobs: openSharedDirectory(join(root, 'blobs')), log: SILENT })
}

async function capabilityRows(): Promise<string[]> {
  const kinds = [
    ['docker', 'docker', {}], ['docker, profile opencode-acp', 'docker', {}, 'opencode-acp'], ['docker with RUNNER_COMMAND', 'docker', { RUNNER_COMMAND: 'true' }],
    ['opencode, supervised', 'opencode', {}], ['opencode, remote server', 'opencode', { OPENCODE_SERVER_URL: 'http://127.0.0.1:9' }],
  ] as const
  return Promise.all(kinds.map(async ([name, mode, env, profile]) => {
    const [backend, ...others] = await backends({ WORKER_MODES: mode, ...env })
    if (backend === undefined) throw new Error(`no backend for ${name}`)
    const { steer, pause, ask } = backend.profiles?.get(profile ?? 'opencode')?.capabilities ?? backend.capabilities
    await Promise.all([backend, ...others].map((one) => one.close()))
    return `| ${name} | yes | ${pause ? 'yes' : 'only while nothing of it runs'} | ${pause ? 'yes' : 'of what was paused before it ran'} | ${steer ? 'yes' : 'no: not_supported'} | ${ask ? 'yes' : 'it never asks'} |`
  }))
}

test('docs/control-signals.md says what the ledger does and the backends can; if not: vitest run apps/worker/src/control-signals.test.ts --update', async () => {
  const rows: string[] = []
  for (const state of TASK_STATES) rows.push(`| \`${state}\` | ${(await Promise.all(SIGNALS.map((signal) => answerOf(signal, state)))).join(' | ')} |`)
  const page = [
    '# Control signals', '',
    '<!-- Generated from the running code: vitest run apps/worker/src/control-signals.test.ts --update -->', '',
    'What `send_task_control` (cancel, pause, resume), `send_task_message` and `answer_task_input` do, by the state of the task.', '',
    `| state | ${SIGNALS.join(' | ')} |`, `|---|${SIGNALS.map(() => '---|').join('')}`, ...rows, '',
    '*Asked of its owner*: the worker that holds the task carries it out within a second; until then `get_task_status` shows it. If that worker dies,',
    'the next owner does it before anything else. A cancel wins over a pause; a resume takes back a pause that has not begun. A task that is queued',
    'while its execution lives (its worker was lost or ended), or whose place does not stop the agent, is paused by its next owner, too: `paused` means that nothing of it',
    'runs. `input_required` is shown as it is without a worker; while one holds it, it is as `running`. Asking twice is harmless, except for messages: each is a new one.', '',
    '## By mode', '',
    `| mode | ${SIGNALS.join(' | ')} |`, `|---|${SIGNALS.map(() => '---|').join('')}`, ...(await capabilityRows()), '',
    '- **pause** stops the agent where it stands: the model\'s turn and a command that runs at that moment are cut off; session and workspace are kept, server',
    '  or container are gone, and the slot is free. Paused time counts neither against `timeout_ms` nor `queue_ttl_ms`; after `PAUSED_TTL_MS`',
    '  `PAUSED_END` says what becomes of it: it ends as `timeout` or `cancelled`, or goes on.',
    '- **resume** goes on with the same session on any worker that has its storage, in the same attempt; the agent is told that it was interrupted.',
    '- **message** becomes the agent\'s newest user message at its next step (`task.message_delivered` says when). What waits while the task is queued or paused is',
    '  delivered when it runs; what never reached the agent is named in the ending (`undelivered_messages`). A new attempt begins with a fresh session, and is told',
    '  again what the earlier one was told. At most 100 wait for one agent.',
    '- **answer** is for a question of the agent that is open, whatever the state: the agent gets it at once while it waits on a worker; a task that waits without one goes',
    '  back into the queue and on with it; while it is paused the answer waits with it. The first answer counts (`already_answered`). Time that waits for an answer does not',
    '  count against `timeout_ms`. A pause over an open question asks it again when it is resumed.', '',
  ].join('\n')
  await expect(page).toMatchFileSnapshot('../../../docs/control-signals.md')
})

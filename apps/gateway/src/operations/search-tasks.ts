import { AgentId, foldTitle, LongshoreError, MAX_TITLE_CHARACTERS, Mode, ProfileName, TASK_STATES, TaskState } from '@longshore/contracts'
import { isSearchCursor, type TaskFilter } from '@longshore/ledger'
import { z } from 'zod'
import { ownOrAnyAgent } from './acting-agent.ts'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { TaskView, viewTask } from './task-view.ts'

const Moment = z.iso.datetime({ offset: true, error: 'an RFC 3339 time such as 2026-11-26T08:00:00Z' })

/** What no title holds would find nothing, and nobody would know why. */
const TitlePrefix = z.string().max(MAX_TITLE_CHARACTERS, `at most ${MAX_TITLE_CHARACTERS} characters: no title is longer`)
  .refine((text) => !/\p{Cc}/u.test(text), 'must not have control characters: titles have none').refine((text) => text.isWellFormed(), 'must be well-formed Unicode, without lone surrogates')
  .refine((text) => foldTitle(text) !== '', 'must not be empty')

const Input = z.strictObject({
  agent_id: AgentId.optional().describe('Only this agent\'s tasks. Another agent than one\'s own takes an operator\'s key.'),
  status: z.union([TaskState, z.array(TaskState).min(1).max(TASK_STATES.length)], { error: `one or several of ${TASK_STATES.join(', ')}` }).optional().describe(`One state, or several: ${TASK_STATES.join(', ')}.`),
  mode: Mode.optional().describe('Only tasks of this mode.'),
  profile: ProfileName.optional().describe('Only tasks of this profile.'),
  title_prefix: TitlePrefix.optional().describe('How the title begins; upper and lower case are one, and so are letters with accents and without.'),
  created_from: Moment.optional().describe('Created then or later: RFC 3339.'),
  created_before: Moment.optional().describe('Created before then.'),
  ended_from: Moment.optional().describe('Ended then or later, in whichever way.'),
  ended_before: Moment.optional().describe('Ended before then.'),
  limit: z.int().min(1).max(200).default(50).describe('How many at most, 1 to 200.'),
  cursor: z.string().max(64).optional().describe('Go on after an earlier answer: its next_cursor, with the same filters.'),
})

const Output = z.object({
  tasks: z.array(TaskView).describe('Newest first.'),
  has_more: z.boolean().describe('There may be more: ask again with next_cursor. A search that looks at very many tasks answers page by page, and a page may be short or empty.'),
  next_cursor: z.string().optional(),
  note: z.string().optional().describe('What is missing, and why.'),
})

/** An agent sees its own (G11), an operator every agent's or one's. */
export function searchTasks(ports: Ports): Operation {
  return defineOperation({
    name: 'search_tasks',
    title: 'Search tasks',
    description: 'Finds tasks by status, mode, profile, times and the beginning of their title, newest first: your own, or with an operator\'s key everybody\'s. Filters are all to be met.',
    input: Input,
    output: Output,
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'tasks',
    route: { method: 'GET', path: '/api/search' },
    isTool: true,
    async handle(input, call) {
      const { tasks, next, isIndexing } = await ports.ledger.search({ ...filterOf(input), agentId: ownOrAnyAgent(call, input.agent_id) }, { limit: input.limit, cursor: cursorOf(input.cursor) })
      const note = isIndexing ? { note: 'Tasks of an earlier version are still being brought into the index: ask again in a minute.' } : {}
      return { tasks: tasks.map((task) => viewTask(task, ports.now())), has_more: next !== undefined, ...(next === undefined ? {} : { next_cursor: next }), ...note }
    },
  })
}

function filterOf(input: z.output<typeof Input>): TaskFilter {
  const { status, mode, profile, title_prefix: titlePrefix } = input
  const created = rangeOf('created', input.created_from, input.created_before)
  const ended = rangeOf('ended', input.ended_from, input.ended_before)
  return { states: typeof status === 'string' ? [status] : status, mode, profile, titlePrefix, createdFrom: created.from, createdBefore: created.before, endedFrom: ended.from, endedBefore: ended.before }
}

/** @throws LongshoreError invalid_input */
function rangeOf(what: 'created' | 'ended', first: string | undefined, last: string | undefined): { from: number | undefined; before: number | undefined } {
  const [from, before] = [first, last].map((text) => (text === undefined ? undefined : Date.parse(text)))
  if (from !== undefined && before !== undefined && from >= before) {
    throw new LongshoreError('invalid_input', `${what}_before: got ${last}, allowed: later than ${what}_from, which is ${first}`, { field: `${what}_before` })
  }
  return { from, before }
}

/** @throws LongshoreError invalid_input */
function cursorOf(text: string | undefined): string | undefined {
  if (text === undefined || isSearchCursor(text)) return text
  throw new LongshoreError('invalid_input', 'cursor is not one that this server gave out', { field: 'cursor', next: 'Use next_cursor of an earlier answer, or leave it out to begin with the newest.' })
}

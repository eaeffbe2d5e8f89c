import { describe, expect, test } from 'vitest'

import { type EventDraft, FAILURE_CODES } from '@longshore/contracts'
import { messageOf } from '../matrix/content.ts'
import { draftNotices } from '../draft-notices.ts'
import { advanceView, EMPTY_VIEW } from '../task-view.ts'
import { aTask, anEvent } from '../testing/samples.ts'
import { durationText } from './duration.ts'
import { moneyText } from './lines.ts'
import { renderCard } from './render-card.ts'
import { type EndEvent, renderCompletion } from './render-completion.ts'

const result = (output: string, files = 0) => ({ output, output_truncated: false, files_changed: files })
const completed = (output: string, files = 0) => anEvent({ type: 'task.completed', payload: { attempt: 1, duration_ms: 130_000, result: result(output, files) } }) as EndEvent
const viewOf = (...drafts: EventDraft[]) => drafts.reduce((view, draft, i) => advanceView(view, anEvent(draft, i + 1)), EMPTY_VIEW)
const bash = (title: string): EventDraft => ({ type: 'task.tool', payload: { tool: 'bash', title, status: 'completed' } })

describe('a card', () => {
  test('says state, title, who, how and the newest step, in few words', () => {
    const task = aTask({ id: 'task-00000000000000000000000000', attempt: 2 })
    const view = viewOf(bash('ls'), { type: 'task.file_changed', payload: { path: 'src/a.ts', change: 'modified' } }, bash('npm test'))
    expect(renderCard(task, view)).toEqual({
      plain: '▶️ Running · Fix the flaky test\nagent-local · docker · attempt 2 of 3 · since 14:03 UTC\n2 steps · 1 file changed\nbash: npm test\ntask-00000000000000000000000000',
      html: '<b>▶️ Running · Fix the flaky test</b><br>agent-local · docker · attempt 2 of 3 · since 14:03 UTC<br>2 steps · 1 file changed<br><code>bash: npm test</code><br><code>task-00000000000000000000000000</code>',
    })
  })

  test('says why a task is in the queue again', () => {
    const view = viewOf({ type: 'task.retrying', payload: { attempt: 1, delay_ms: 2_000, failure: { code: 'provider_busy', message: 'status 429' } } })
    expect(renderCard(aTask({ state: 'queued' }), view).plain).toContain('Attempt 1 failed (provider_busy): status 429')
  })

  test('says who paused it and why, and who resumed it', () => {
    const paused: EventDraft = { type: 'task.paused', payload: { by: 'operator:key-1', reason: 'for the night' } }
    expect(renderCard(aTask({ state: 'paused' }), viewOf(paused)).plain).toContain('\nPaused by operator:key-1: for the night\n')
    const resumed: EventDraft = { type: 'task.queued', payload: { reason: 'resume', ticket: 2, mode: 'docker', title: 't', by: 'agent-a' } }
    expect(renderCard(aTask({ state: 'queued' }), viewOf(paused, resumed)).plain).toContain('\nResumed by agent-a\n')
  })

  test('G7: says on whom it went on and from where, and keeps while it runs why there is another attempt', () => {
    const resumed: EventDraft = { type: 'task.resumed', payload: { attempt: 1, claim: 2, worker: 'w2', detail: 'its worker and its execution were lost; the agent goes on with its session in its workspace' } }
    expect(renderCard(aTask(), viewOf(resumed)).plain).toContain('\nResumed on w2: its worker and its execution were lost; the agent goes on with its session in its workspace\n')
    expect(renderCard(aTask(), viewOf({ type: 'task.adopted', payload: { attempt: 1, claim: 2, worker: 'w2' } })).plain).toContain('\nTaken over by w2; the run goes on, nothing is lost.\n')
    const started = (attempt: number): EventDraft => ({ type: 'task.started', payload: { attempt, claim: attempt, worker: 'w2', mode: 'docker', deadline_at: 1 } })
    const view = viewOf(started(1), { type: 'task.retrying', payload: { attempt: 1, delay_ms: 0, failure: { code: 'worker_lost', message: 'nothing could be found again' } } }, started(2))
    expect(renderCard(aTask({ attempt: 2 }), view).plain).toContain('Attempt 1 failed (worker_lost): nothing could be found again')
  })

  test('is not drafted again when an event changes nothing that it shows', () => {
    const task = aTask()
    const first = draftNotices(task, viewOf(bash('ls')), [anEvent(bash('ls'))])
    const usage = anEvent({ type: 'task.usage', payload: { input_tokens: 1, output_tokens: 1, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 0 } }, 4)
    expect(first.notices.map((notice) => notice.kind)).toEqual(['card'])
    expect(draftNotices(task, advanceView(first.view, usage), [usage]).notices).toEqual([])
  })
})

describe('a completion', () => {
  test('says where the result was pushed, or why not', () => {
    const said = (git: object) => renderCompletion(aTask(), EMPTY_VIEW, anEvent({ type: 'task.completed', payload: { attempt: 1, duration_ms: 1, result: { ...result(''), git: { commit: 'c', ...git } } } }) as EndEvent).plain
    expect(said({ branch: 'longshore/task-1', head: 'h' })).toContain('\nPushed as longshore/task-1')
    expect(said({ push_error: 'the credential\nmay not push' })).toContain('\nNot pushed: the credential may not push')
    expect(said({})).not.toContain('ushed')
  })

  test('says what came out and what it took', () => {
    const view = viewOf({ type: 'task.file_changed', payload: { path: 'src/a.ts', change: 'modified' } }, { type: 'task.file_changed', payload: { path: 'b.ts', change: 'added' } })
    expect(renderCompletion(aTask(), view, completed('The test waits now.\nAll green.', 2))).toEqual({
      plain: '✅ Completed · Fix the flaky test\n2 min 10 s · docker\n2 files changed: src/a.ts, b.ts\n> The test waits now.\n> All green.',
      html: '<b>✅ Completed · Fix the flaky test</b><br>2 min 10 s · docker<br>2 files changed: src/a.ts, b.ts<blockquote>The test waits now.<br>All green.</blockquote>',
    })
  })

  test('says how many messages the agent never read', () => {
    const event = anEvent({ type: 'task.cancelled', payload: { attempt: 1, duration_ms: 900, by: 'agent-a', undelivered: ['msg-1', 'msg-2'] } }) as EndEvent
    expect(renderCompletion(aTask(), viewOf(), event).plain).toContain('\n2 messages never reached the agent')
  })

  test.each(FAILURE_CODES)('of a failure (%s) names the code, its message and what to do', (code) => {
    const event = anEvent({ type: 'task.failed', payload: { attempt: 3, duration_ms: 900, failure: { code, message: 'the cause' } } }) as EndEvent
    const { plain } = renderCompletion(aTask(), EMPTY_VIEW, event)
    expect(plain).toMatch(new RegExp(`❌ Failed.*\n0\\.9 s · docker · attempt 3 of 3\n${code}: the cause\nWhat to do: [A-Z].{20,}`))
  })

  test('of a timeout names the limit, of a cancel who and why', () => {
    const timeout = anEvent({ type: 'task.timeout', payload: { attempt: 1, duration_ms: 5_000, limit: 'timeout_ms', limit_ms: 300_000 } }) as EndEvent
    expect(renderCompletion(aTask(), EMPTY_VIEW, timeout).plain).toContain('The limit of 5 min (timeout_ms) was reached.')
    const late = anEvent({ type: 'task.timeout', payload: { attempt: 0, duration_ms: 0, limit: 'queue_ttl_ms', limit_ms: 3_600_000 } }) as EndEvent
    expect(renderCompletion(aTask(), EMPTY_VIEW, late).plain).toMatch(/⏰.*\nnever started · docker\nIt waited for 1 h \(queue_ttl_ms\) and no worker started it\.\nWhat to do: No worker was free in time/)
    const cancelled = anEvent({ type: 'task.cancelled', payload: { attempt: 1, duration_ms: 5_000, by: 'agent-local', reason: 'not needed' } }) as EndEvent
    expect(renderCompletion(aTask(), EMPTY_VIEW, cancelled).plain).toContain('By agent-local: not needed')
  })
})

const HOSTILE = [
  ['HTML', '<img src=x onerror=alert(1)></b></blockquote><script>x</script>&lt;'],
  ['lone surrogates', `a\uD800b\uDC00c${'🚢'.repeat(5_000)}`],
  ['100 kB', 'x'.repeat(100_000)],
  ['100 kB of what escaping blows up', '&'.repeat(100_000)],
  ['100 kB of wide characters', '\u{1F6A2}\n'.repeat(33_000)],
  ['terminal codes, bidi overrides and nulls', '\u001B[31mred\u001B[0m \u202Eevil\u202C \u2066x\u2069 \0 \u0007 \uFEFF'],
] as const

describe.each(HOSTILE)('G14: hostile text (%s) everywhere', (_, evil) => {
  const view = viewOf(bash(evil), { type: 'task.file_changed', payload: { path: evil, change: 'added' } }, { type: 'task.paused', payload: { by: evil, reason: evil } })
  const task = aTask({ title: evil, agent_id: evil, state: 'paused' })
  const failed = anEvent({ type: 'task.failed', payload: { attempt: 1, duration_ms: 1, failure: { code: 'agent_error', message: evil.slice(0, 4096) }, result: result(evil, 3) } }) as EndEvent
  const asked: EventDraft = { type: 'task.input_required', payload: { input_id: `input-${'0'.repeat(16)}`, kind: 'question', question: evil.slice(0, 4_000), choices: Array.from({ length: 20 }, () => evil.slice(0, 200)) } }
  const told: EventDraft = { type: 'task.message', payload: { message_id: 'm', message_type: 'update', by: evil, text: evil } }
  const questions = (more: EventDraft[]) => draftNotices(task, viewOf(asked, ...more), [asked, told, ...more].map((draft, i) => anEvent(draft, i + 1))).notices.filter(({ kind }) => kind !== 'card')
  const thread = [...questions([]), ...questions([{ type: 'task.input_answered', payload: { input_id: `input-${'0'.repeat(16)}`, answer: evil, by: evil, message: evil } }])]
  const notices = draftNotices(task, view, [anEvent(bash(evil)), { ...completed(evil, 3), known: true }, { ...failed, known: true }]).notices

  test('is data in a bounded, well-formed message', () => {
    expect(notices.map((notice) => notice.kind)).toEqual(['card', 'completion', 'completion'])
    expect(thread.map((notice) => notice.kind)).toEqual(['detail', 'question', 'detail', 'question'])
    for (const notice of [...notices, ...thread]) {
      const content = messageOf(notice, { root: '$root', posted: '$posted' })
      const json = JSON.stringify(content)
      expect(json).not.toMatch(/\\ud[89a-f]/) // JSON.stringify escapes lone surrogates only
      expect(Buffer.byteLength(json)).toBeLessThan(30_000)
      // Homeservers refuse events with floats.
      expect(numbersIn(content).every(Number.isSafeInteger)).toBe(true)
      expect(Buffer.byteLength(notice.plain) + Buffer.byteLength(notice.html)).toBeLessThan(12_000)
      expect(notice.html.replace(/<\/?(b|br|code|blockquote)>/g, '')).not.toMatch(/[<>]/)
      expect(notice.plain).not.toMatch(/(?!\n)[\p{Cc}\u202A-\u202E\u2066-\u2069\uFEFF]/u)
    }
  })
})

function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : []
}

describe('a question', () => {
  const permission: EventDraft = { type: 'task.input_required', payload: { input_id: `input-${'1'.repeat(16)}`, kind: 'permission', question: 'bash: git push', choices: ['allow', 'always', 'deny'], expires_at: Date.UTC(2026, 10, 24, 14, 3) } }
  const colour: EventDraft = { type: 'task.input_required', payload: { input_id: `input-${'0'.repeat(16)}`, kind: 'question', question: 'Which colour?', choices: ['red', 'green'], free_text: true } }
  const draft = (state: 'running' | 'input_required' | 'completed', ...drafts: EventDraft[]) => draftNotices(aTask({ state }), viewOf(...drafts), drafts.map((one, i) => anEvent(one, i + 1)))
  const questions = (...args: Parameters<typeof draft>) => draft(...args).notices.filter(({ kind }) => kind === 'question')

  test('says what is asked, how to answer it and until when', () => {
    expect(questions('input_required', colour, permission).map(({ plain, status }) => [plain, status])).toEqual([
      ['❓ Question · Fix the flaky test\n> Which colour?\n1️⃣ red\n2️⃣ green\nReact with a number, or write here:\n!answer 1 · !answer your own words · !deny to go on without', 'input_required'],
      ['🔐 Permission · Fix the flaky test\n> bash: git push\nReact with ✅ to allow it once or ❌ to deny it, or write here:\n!approve · !approve always · !deny why not\nUntil 24 Nov, 14:03 UTC; then the deployment\'s default holds.', 'input_required'],
    ])
  })

  test('becomes its answer, with who gave it; then nobody is told of it again', () => {
    const answer: EventDraft = { type: 'task.input_answered', payload: { input_id: `input-${'1'.repeat(16)}`, answer: 'deny', by: 'matrix:@ann:hs', message: 'never' } }
    const { view } = draft('input_required', permission)
    const next = draftNotices(aTask(), advanceView(view, anEvent(answer, 2)), [anEvent(answer, 2)])
    expect(next.notices.filter(({ kind }) => kind === 'question')).toMatchObject([{ plain: '❌ Denied · Fix the flaky test\n> bash: git push\n“never”\nBy @ann:hs', status: 'running', input_id: `input-${'1'.repeat(16)}` }])
    expect(next.view.asked).toEqual([])
  })

  test('that is still open when its task ends is not needed any more', () => {
    const { view } = draft('input_required', colour)
    const end = { ...completed('x'), known: true as const }
    expect(draftNotices(aTask({ state: 'completed' }), view, [end]).notices.map(({ kind, plain }) => [kind, plain.split('\n')[0]])).toContainEqual(['question', '⚪ Not needed any more · Fix the flaky test'])
  })

  test.each([['withdrawn', '⚪ Not asked any more'], ['expired', '⌛ Nobody answered in time']] as const)('says that it was %s', (why, words) => {
    expect(questions('running', colour, { type: 'task.input_answered', payload: { input_id: `input-${'0'.repeat(16)}`, answer: '', by: 'x', why } })[0]?.plain).toContain(words)
  })
})

test.each([[182_430, '0.18243'], [0, '0.00'], [1_234_567_000_000, '1,234,567.00'], [1, '0.000001']])('%i micro-units are %s', (micros, words) => {
  expect(moneyText(micros)).toBe(words)
})

test.each([[0, '0.0 s'], [8_400, '8.4 s'], [10_000, '10 s'], [59_900, '1 min'], [130_000, '2 min 10 s'], [3_600_000, '1 h'], [3_900_000, '1 h 5 min']])('%i ms is %s', (ms, words) => {
  expect(durationText(ms)).toBe(words)
})

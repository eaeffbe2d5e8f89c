import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentAsk, Execution, Handle, Task } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'
import type { BackendUnderTest } from './backend.testsuite.ts'
import { type Recorded, successorOf } from './fixtures/record.ts'

/** Enough for a slow start on a busy machine. */
const SLOW_MS = 60_000
const QUESTION = '[[ask Which color?|red|blue]]'
const WRITE = '[[bash echo done > asked.txt]]'

export interface AskCases {
  /** Whether its agents ask questions, and hear words with a refusal. */
  questions: boolean
  /** Whether a refusal is its agents' end of the turn, whatever they were to do besides. */
  refusalEnds: boolean
  resumes: boolean
  under(): BackendUnderTest
  recorded(prompt: string, more?: Partial<Task>): Recorded
  track(one: Recorded): Recorded
  dispose(one: Recorded): Promise<void>
}

/** What a backend whose agents can ask owes its callers: it hands the question over, and the answer back, once, whoever gives it. For agents that follow the scripted model's directives. */
export function describeAsks({ questions, refusalEnds, resumes, under, recorded, track, dispose }: AskCases): void {
  const begin = async (prompt: string, more: Partial<Task> = {}): Promise<{ one: Recorded; execution: Execution; ask: AgentAsk }> => {
    const one = recorded(prompt, more)
    const execution = await under().backend.start(one.task, one.run)
    execution.outcome.catch(() => {})
    return { one, execution, ask: await asked(one) }
  }
  const asked = async (one: Recorded): Promise<AgentAsk> => {
    await waitFor(() => one.asks.length > 0, { what: 'the agent to ask', timeoutMs: SLOW_MS })
    return one.asks[0] as AgentAsk
  }
  const isWritten = ({ task }: Recorded): Promise<boolean> => access(join(under().storageRoot, task.id, 'repo', 'asked.txt')).then(() => true, () => false)
  const heard = ({ events }: Recorded): string => events.flatMap((event) => (event.type === 'task.tool' ? [event.payload.output ?? ''] : [])).join('\n')

  const questionTest = questions ? test : leaveOut
  /** Makes the agent wait, whatever it can ask. */
  const [anything, anyPolicy]: [string, Partial<Task>] = questions ? [QUESTION, {}] : [WRITE, { permissions: { bash: 'ask' } }]
  const yes = { choices: [questions ? 'blue' : 'allow'] }

  questionTest('a question waits for its answer, which the agent hears; a second one changes nothing', async () => {
    const { one, execution, ask } = await begin(`${QUESTION} [[say went on]]`)
    expect(ask).toMatchObject({ kind: 'question', question: expect.stringContaining('Which color?') as string, choices: ['red', 'blue'] })
    expect(await ask.answer({ choices: ['blue'] })).toBe('answered')
    expect(await ask.answer({ choices: ['red'] })).toBe('gone')
    expect(await execution.outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('went on') as string } })
    expect(heard(one)).toContain('blue')
    await waitFor(() => one.asks.length === 0, { what: 'nothing to be asked any more' })
    await dispose(one)
  })

  questionTest('a question that nobody answers is dismissed, and the agent goes on without', async () => {
    const { one, execution, ask } = await begin(`${QUESTION} [[say went on]]`)
    expect(await ask.answer({ choices: [] })).toBe('answered')
    expect(await execution.outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('went on') as string } })
    await dispose(one)
  })

  test('what may not be done without asking is done when it is allowed, and not a moment before', async () => {
    const { one, execution, ask } = await begin(`${WRITE} [[say went on]]`, { permissions: { bash: 'ask' } })
    expect(ask).toMatchObject({ kind: 'permission', tool: 'bash', subjects: [expect.stringContaining('echo done')] })
    expect(await isWritten(one)).toBe(false)
    expect(await ask.answer({ choices: ['allow'] })).toBe('answered')
    expect(await execution.outcome).toMatchObject({ kind: 'completed' })
    expect(await isWritten(one)).toBe(true)
    await dispose(one)
  })

  test('what is denied is not done; the agent hears why, and goes on', async () => {
    const { one, execution, ask } = await begin(`${WRITE} [[say went on]]`, { permissions: { bash: { '*': 'allow', 'echo *': 'ask' } } })
    expect(await ask.answer({ choices: ['deny'], message: 'not with echo' })).toBe('answered')
    expect(await execution.outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining(refusalEnds ? '' : 'went on') as string } })
    expect(await isWritten(one)).toBe(false)
    expect(heard(one)).toContain(questions ? 'not with echo' : '')
    await dispose(one)
  })

  test('a tool that is denied as a whole does nothing and asks nobody', async () => {
    const one = recorded(`${WRITE} [[say went on]]`, { permissions: { bash: 'deny' } })
    const execution = await under().backend.start(one.task, one.run)
    await execution.outcome
    expect(one.asks).toEqual([])
    expect(await isWritten(one)).toBe(false)
    await dispose(one)
  })

  test('an adopter hears what the agent waits for, under the same name, and its answer is the one that counts (G7)', async () => {
    const { one, ask } = await begin(`${anything} [[say went on]]`, anyPolicy)
    one.letGo.abort()
    const next = track(successorOf(one))
    const execution = await under().backend.attach(next.task, next.task.handle as Handle, next.run)
    const again = await asked(next)
    expect(again).toMatchObject({ id: ask.id, kind: ask.kind, choices: ask.choices })
    expect(await again.answer(yes)).toBe('answered')
    expect(await execution?.outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('went on') as string } })
    await dispose(next)
  })

  const stopped = [...(questions ? [['a question', QUESTION, {}] as const] : []), ['a permission', WRITE, { permissions: { bash: { '*': 'allow', 'echo *': 'ask' } } }] as const]
  test.each(stopped)('%s of a session that was stopped is not asked any more when that goes on', async (_what, asking, more) => {
    const { one } = await begin(`${asking} [[say went on]]`, more)
    one.letGo.abort()
    const handle = one.handles.at(-1) as Handle
    await under().backend.checkpoint(handle, one.run)
    const next = track(successorOf(one))
    const again: AgentAsk[] = []
    const hearing = { ...next.run, onAsks: (asks: readonly AgentAsk[]) => Promise.resolve(void again.push(...asks)) }
    const execution = await under().backend.resume(next.task, handle, hearing, 'Go on.')
    expect(await execution?.outcome).toMatchObject({ kind: 'completed' })
    expect(again).toEqual([])
    await dispose(next)
  })

  const resumedTest = resumes ? test : leaveOut
  resumedTest('what is asked after an execution was lost has another name, also under the same claim: no answer to one is an answer to the other', async () => {
    const { one, execution, ask } = await begin(`${WRITE} ${WRITE} [[say went on]]`, { permissions: { bash: 'ask' } })
    await under().kill(one.task.id)
    await execution.outcome
    one.asks.splice(0)
    const [handle, position] = [one.handles.at(-1) as Handle, one.positions.at(-1)]
    const next = await under().backend.resume({ ...one.task, handle, ...(position === undefined ? {} : { position }) }, handle, one.run, 'Go on.')
    const again = await asked(one)
    expect(again.id).not.toBe(ask.id)
    expect(await again.answer({ choices: ['allow'] })).toBe('answered')
    expect(await next?.outcome).toMatchObject({ kind: 'completed' })
    await dispose(one)
  })

  test('a worker that has lost the claim answers nothing (G4)', async () => {
    const { one, ask } = await begin(`${anything} [[say went on]]`, anyPolicy)
    one.run.confirmClaim = () => Promise.reject(new Error('the claim is another\'s'))
    await expect(ask.answer(yes)).rejects.toThrow('another\'s')
    one.run.confirmClaim = () => Promise.resolve()
    expect(await ask.answer(yes)).toBe('answered')
    await dispose(one)
  })
}

/** Not even as skipped: its agents have no way to ask so. */
function leaveOut(_title: string, _body: () => Promise<void>): void {}

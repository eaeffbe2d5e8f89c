import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentMessage, Execution, Handle } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'
import type { BackendUnderTest, Dialect } from './backend.testsuite.ts'
import { type Recorded, successorOf, textOf } from './fixtures/record.ts'

/** Enough for a slow start on a busy machine. */
const SLOW_MS = 60_000
const GO = 'go-on'
const GO_AGAIN = 'go-on-again'
const DEAD = 'this worker dies'
const DEATHS = [['after it was told', 'delivered'], ['before it was told', DEAD]] as const

export interface SteerCases {
  under(): BackendUnderTest
  dialect: Dialect
  /** A task that is cleared away after its test. */
  recorded(prompt: string): Recorded
  track(one: Recorded): Recorded
  dispose(one: Recorded): Promise<void>
  adopts: boolean
  resumes: boolean
}

/** What a backend whose executions can be told something owes its callers: once, whoever tells it, and before the end or not at all. */
export function describeSteer({ under, dialect, recorded, track, dispose, adopts, resumes }: SteerCases): void {
  const [adoptTest, resumeTest] = [adopts ? test.each(DEATHS) : leaveOut, resumes ? test.each(DEATHS) : leaveOut]
  /** An agent that has begun and works on until `goOn`. */
  const begin = async (): Promise<{ one: Recorded; execution: Execution }> => {
    const one = recorded(`${dialect.say('begun')} ${dialect.until(GO)} ${dialect.say('its own end')}`)
    const execution = await under().backend.start(one.task, one.run)
    execution.outcome.catch(() => {})
    await waitFor(() => textOf(one.events).includes('begun'), { what: 'the agent to begin', timeoutMs: SLOW_MS })
    return { one, execution }
  }
  const goOn = ({ task }: Recorded, path = GO): Promise<void> => (under().backend.capabilities.files ? writeFile(join(under().storageRoot, task.id, 'repo', path), '') : Promise.resolve())
  const message = (): AgentMessage & { word: string } => {
    const word = `heard-${randomBytes(6).toString('hex')}`
    return { id: `message-${word}`, text: dialect.say(word), word }
  }
  const tell = (execution: Execution | undefined, what: AgentMessage): Promise<string> => execution?.tell?.({ id: what.id, text: what.text }) ?? Promise.reject(new Error('nobody can be told'))
  const saidBy = (owners: readonly Recorded[], word: string): number => textOf(owners.flatMap(({ events }) => events)).split(word).length - 1
  const dies = (): Promise<never> => Promise.reject(new Error(DEAD))
  /** The last that an owner does: to tell, or to be about to, with the ids stored. */
  const lastWords = async ({ run }: Recorded, execution: Execution, what: AgentMessage, answer: string): Promise<string> => {
    const { confirmClaim } = run
    if (answer === DEAD) run.confirmClaim = dies
    return tell(execution, what).catch((error: Error) => error.message).finally(() => (run.confirmClaim = confirmClaim))
  }

  test('what an agent is told while it works reaches it in the same run, once, however often it is told', async () => {
    const { one, execution } = await begin()
    const [first, second] = [message(), message()]
    expect(await tell(execution, first)).toBe('delivered')
    expect(await tell(execution, first)).toBe('delivered')
    expect(await tell(execution, second)).toBe('delivered')
    await goOn(one)
    const outcome = await execution.outcome
    expect(outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('its own end') as string } })
    expect(outcome.result?.output).toBe(textOf(one.events))
    expect([first, second].map(({ word }) => saidBy([one], word))).toEqual([1, 1])
    expect(outcome.result?.output.indexOf(first.word)).toBeLessThan(outcome.result?.output.indexOf(second.word) ?? 0)
    await dispose(one)
  })

  test('what comes after the end is answered so, and changes nothing', async () => {
    const { one, execution } = await begin()
    await goOn(one)
    const { result } = await execution.outcome
    const late = message()
    expect(await tell(execution, late)).toBe('over')
    await dispose(one)
    expect(await tell(execution, late)).toBe('over')
    expect(await execution.result()).toEqual(result)
  })

  test('a worker that has lost the claim tells nothing (G4)', async () => {
    const one = recorded(`${dialect.say('begun')} ${dialect.until(GO)} ${dialect.say('its own end')}`)
    let isOwner = true
    const confirmClaim = (): Promise<void> => (isOwner ? Promise.resolve() : Promise.reject(new Error('another worker owns it')))
    const execution = await under().backend.start(one.task, { ...one.run, confirmClaim })
    isOwner = false
    const stale = message()
    await expect(tell(execution, stale)).rejects.toThrow('another worker owns it')
    isOwner = true
    await goOn(one)
    expect(await execution.outcome).toMatchObject({ kind: 'completed' })
    expect(saidBy([one], stale.word)).toBe(0)
  })

  adoptTest('a successor that tells the same as an owner who died %s does so with effect once', async (_when, answer) => {
    const { one, execution } = await begin()
    const same = message()
    expect(await lastWords(one, execution, same, answer)).toBe(answer)
    one.letGo.abort()
    const next = track(successorOf(one))
    const adopted = await under().backend.attach(next.task, next.task.handle as Handle, next.run)
    expect([await tell(adopted, same), await tell(adopted, same)]).toEqual(['delivered', 'delivered'])
    await goOn(one)
    expect(await adopted?.outcome).toMatchObject({ kind: 'completed' })
    expect(saidBy([one, next], same.word)).toBe(1)
    await dispose(next)
  })

  resumeTest('after a resume, also one that was cut short, what the one that died %s had to tell has effect once', async (_when, answer) => {
    const { one, execution } = await begin()
    const same = message()
    expect(await lastWords(one, execution, same, answer)).toBe(answer)
    await under().kill(one.task.id)
    expect(await execution.outcome).toMatchObject({ kind: 'failed' })
    await goOn(one) // a step that it had begun and not noted is done again
    const note = `You were interrupted; go on. ${dialect.until(GO_AGAIN)}`
    const dead = track(successorOf(one))
    const dying = { ...dead.run, onHandle: (handle: Handle) => dead.run.onHandle(handle).then(dies) }
    await expect(under().backend.resume(dead.task, dead.task.handle as Handle, dying, note)).rejects.toThrow(DEAD)
    const next = track(successorOf(dead))
    const resumed = await under().backend.resume(next.task, next.task.handle as Handle, next.run, note)
    expect(await tell(resumed, same)).toBe('delivered')
    await goOn(one, GO_AGAIN)
    expect(await resumed?.outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('its own end') as string } })
    expect(saidBy([one, next], same.word)).toBe(1)
    await dispose(next)
  })
}

/** There is nobody who could tell it again. */
function leaveOut(_title: string, _body: (when: string, answer: string) => Promise<void>): void {}

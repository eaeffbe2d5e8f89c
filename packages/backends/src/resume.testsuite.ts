import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionOutcome, Handle } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'
import type { BackendUnderTest, Dialect } from './backend.testsuite.ts'
import { filesOf, type Recorded, successorOf, textOf } from './fixtures/record.ts'

const NOTE = 'You were interrupted; go on.'
/** Enough for a slow start on a busy machine. */
const SLOW_MS = 60_000

export interface ResumeCases {
  under(): BackendUnderTest
  dialect: Dialect
  /** A task that is cleared away after its test. */
  recorded(prompt: string): Recorded
  track(one: Recorded): Recorded
  dispose(one: Recorded): Promise<void>
  nothingLeft(one: Recorded): Promise<unknown>
}

/** What a backend with the capability `resume` owes its callers: G7 where the execution is gone, G12 where it was ended on purpose. */
export function describeResume({ under, dialect, recorded, track, dispose, nothingLeft }: ResumeCases): void {
  const WORK = 'work.txt'
  const workOf = ({ task }: Recorded): Promise<string> => readFile(join(under().storageRoot, task.id, 'repo', WORK), 'utf8').catch(() => '')
  const working = (one: Recorded, line: string): Promise<unknown> => waitFor(async () => (await workOf(one)).includes(line) && (await dialect.isNoted?.(join(under().storageRoot, one.task.id, 'state'), line) ?? true), { what: `the work on ${line}`, timeoutMs: SLOW_MS })
  const begin = async (prompt: string, line: string): Promise<{ one: Recorded; outcome: Promise<ExecutionOutcome> }> => {
    const one = recorded(prompt)
    const { outcome } = await under().backend.start(one.task, one.run)
    outcome.catch(() => {})
    await working(one, line)
    return { one, outcome }
  }
  const resume = async (one: Recorded, note = NOTE): Promise<{ next: Recorded; outcome: Promise<ExecutionOutcome> }> => {
    const next = track(successorOf(one))
    const execution = await under().backend.resume(next.task, next.task.handle as Handle, next.run, note)
    if (execution === undefined) throw new Error('there was nothing to resume')
    execution.outcome.catch(() => {})
    return { next, outcome: execution.outcome }
  }
  /** Tools, words and files of all owners, in their order; the same session throughout. */
  const expectOnce = (owners: readonly Recorded[], words: readonly string[]): void => {
    const events = owners.flatMap((one) => one.events)
    expect(words.map((word) => `${textOf(events).split(word).length - 1} × ${word}`)).toEqual(words.map((word) => `1 × ${word}`))
    expect(filesOf(events).map(({ path }) => path)).toContain(WORK)
    expect(new Set(owners.flatMap((one) => one.handles).flatMap(({ data }) => data['session'] ?? [])).size).toBeLessThanOrEqual(1)
  }
  const marker = (): string => `line-${randomBytes(6).toString('hex')}`

  test('goes on with the session each time its execution was killed: work done once, nothing said twice (G7)', { timeout: 180_000 }, async () => {
    const lines = [marker(), marker()] as const
    const { one, outcome } = await begin(`${dialect.say('before all')} ${dialect.workAndHang(WORK, lines[0])} ${dialect.workAndHang(WORK, lines[1])} ${dialect.say('after all')}`, lines[0])
    await under().kill(one.task.id)
    expect(await outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })

    const second = await resume(one)
    await working(one, lines[1])
    await under().kill(one.task.id)
    expect(await second.outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })

    const third = await resume(second.next)
    expect(await third.outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('after all') as string, files_changed: 1 } })
    const owners = [one, second.next, third.next]
    expectOnce(owners, ['before all', 'after all'])
    expect({ work: await workOf(one), tools: owners.flatMap(({ events }) => events).filter(({ type }) => type === 'task.tool') }).toMatchObject({ work: `${lines.join('\n')}\n`, tools: [{}, {}] })
    await dispose(third.next)
    await nothingLeft(one)
  })

  test('goes on under the claim under which its execution was lost, and all that is said then is told, each time', async () => {
    const lines = [marker(), marker()] as const
    const { one, outcome } = await begin(`${dialect.say('before all')} ${dialect.workAndHang(WORK, lines[0])} ${dialect.workAndHang(WORK, lines[1])} ${dialect.say('after all')}`, lines[0])
    await under().kill(one.task.id)
    await outcome
    const again = async (): Promise<ExecutionOutcome | undefined> => {
      const [handle, position] = [one.handles.at(-1) as Handle, one.positions.at(-1)]
      return (await under().backend.resume({ ...one.task, handle, ...(position === undefined ? {} : { position }) }, handle, one.run, NOTE))?.outcome
    }
    const second = again()
    await working(one, lines[1])
    await under().kill(one.task.id)
    expect(await second).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
    expect(await again()).toMatchObject({ kind: 'completed' })
    expectOnce([one], ['before all', 'after all'])
    expect(one.events.filter(({ type }) => type === 'task.tool')).toHaveLength(2)
    await dispose(one)
    await nothingLeft(one)
  })

  test('a checkpoint, also a repeated one, ends what runs and keeps the session (G12)', async () => {
    const line = marker()
    const { one } = await begin(`${dialect.workAndHang(WORK, line)} ${dialect.say('after the checkpoint')}`, line)
    expect(await under().isRunning(line)).toBe(true)
    one.letGo.abort()
    for (const _ of [1, 2]) {
      await under().backend.checkpoint(one.handles.at(-1) as Handle, one.run)
      expect(await under().isRunning(line)).toBe(false)
    }
    const { next, outcome } = await resume(one)
    expect(await outcome).toMatchObject({ kind: 'completed' })
    expectOnce([one, next], ['after the checkpoint'])
    expect(await workOf(one)).toBe(`${line}\n`)
    await dispose(next)
    await nothingLeft(one)
  })

  test('a resume that is cut short wherever it stores its address can be repeated, and tells the agent once', { timeout: 240_000 }, async () => {
    const line = marker()
    const { one } = await begin(`${dialect.workAndHang(WORK, line)} ${dialect.say('at last')}`, line)
    one.letGo.abort() // the execution runs on: whoever resumes ends it first
    const owners = [one]
    const ends: unknown[] = []
    for (let survived = 0, isCut = true; isCut; survived += 1) {
      const next = track(successorOf(owners.at(-1) as Recorded))
      owners.push(next)
      const dying = { ...next.run, onHandle: async (handle: Handle) => {
        await next.run.onHandle(handle)
        if (next.handles.length > survived + 1) throw new Error('this worker dies')
      } }
      const resumed = await under().backend.resume(next.task, next.task.handle as Handle, dying, `${NOTE} ${dialect.say('was told')}`).catch((error: Error) => error)
      expect(await under().isRunning(line)).toBe(false)
      isCut = resumed instanceof Error
      ends.push(resumed instanceof Error ? resumed.message : (await resumed?.outcome)?.kind)
    }
    expect(ends).toEqual([...ends.slice(1).map(() => 'this worker dies'), 'completed'])
    expect(ends.length).toBeGreaterThan(1)
    expectOnce(owners, ['at last', 'was told'])
    expect(await workOf(one)).toBe(`${line}\n`)
    await dispose(owners.at(-1) as Recorded)
    await nothingLeft(one)
  })
}

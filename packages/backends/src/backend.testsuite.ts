import { type Backend, type BackendCapabilities, type Found, type Handle, MAX_PROMPT_BYTES, type Task } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { record, type Recorded, filesOf, successorOf, textOf } from './fixtures/record.ts'
import { WATCHDOG_SLACK_MS } from './places/server-place.ts'
import { describeResume } from './resume.testsuite.ts'
import { describeAsks } from './ask.testsuite.ts'
import { describeSteer } from './steer.testsuite.ts'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

/** Enough for a slow start on a busy machine, short enough for a test. */
const WATCHED_MS = 30_000

/** How a combination's agent is told what to do. */
export interface Dialect {
  write(path: string, text: string): string
  say(text: string): string
  /** Goes on until it is ended. */
  hang(): string
  /** Works on in one step until the file is there; an agent without files, for some seconds. */
  until(path: string): string
  /** Adds a line to a file in one step, then runs on in that very step until it is ended: an agent that is resumed goes on behind it. */
  workAndHang(path: string, line: string): string
  /** Whether an agent that writes its session down behind its work (0021) has done so with this step of `workAndHang`; `state`: the task's folder for it. */
  isNoted?(state: string, line: string): Promise<boolean>
  /** Leaves a child in a session of its own that holds `marker` in its arguments, then hangs. */
  escape(marker: string): string
  /** Writes a line every 100 ms, `count` times. */
  slowly(count: number): string
  /** Ends in failure; the code that the task then fails with. */
  fail: { prompt: string; code: string }
}

/** One combination of place and driver, brought up. */
export interface BackendUnderTest {
  backend: Backend
  storageRoot: string
  /** Names whatever is left of a task: containers, processes, sessions. */
  leftovers(taskId: string): Promise<string[]>
  /** Ends what runs of a task as SIGKILL does, behind the backend's back; on a shared server, which is then started again, what runs of all tasks. */
  kill(taskId: string): Promise<void>
  /** Whether a process with this in its arguments lives anywhere on this machine. */
  isRunning(marker: string): Promise<boolean>
  close(): Promise<void>
}

export interface SuiteOptions {
  make(): Promise<BackendUnderTest>
  dialect: Dialect
  profile: string
  /** Whether the place belongs to the task alone. What a child on a shared server does, and how long, only its operator can bound. */
  ownPlace: boolean
  /** Must be what the backend says of itself. Without it `resume` answers undefined and starts nothing. */
  resumes: boolean
  /** Whether its executions can be told something. A profile may lack it in a backend where others do not. Default: no. */
  steers?: boolean
  /** Whether its agents ask before they do what the policies say, and follow the scripted model's directives; `permissions`: yes or no, and no questions. Default: no. */
  asks?: boolean | 'permissions'
  /** Whether a refusal is its agents' end of the turn. Default: no. */
  refusalEnds?: boolean
  /** What the backend says of itself that it cannot do; what is owed for it then falls away. Default: nothing. */
  lacks?: readonly ('adopt' | 'files')[]
}

/** What every backend owes its callers. A new backend passes this or is not one. */
export function describeBackend(name: string, { make, dialect, profile, ownPlace, resumes, steers = false, asks = false, refusalEnds = false, lacks = [] }: SuiteOptions): void {
  describe(`${name} keeps the backend contract`, { timeout: 180_000 }, () => {
    let under: BackendUnderTest
    const started: Recorded[] = []
    beforeAll(async () => {
      under = await make()
    }, 180_000)
    afterEach(async () => {
      for (const { run, handles, letGo } of started.splice(0)) {
        letGo.abort()
        const last = handles.at(-1)
        if (last !== undefined) await under.backend.dispose(last, run)
      }
    })
    afterAll(() => under.close())

    /** What only a place of the task's own can keep. */
    const ownPlaceTest = ownPlace ? test : leaveOut
    const noSteerTest = steers ? leaveOut : test
    const [adoptTest, noAdoptTest] = lacks.includes('adopt') ? [leaveOut, test] : [test, leaveOut]
    const track = (one: Recorded): Recorded => {
      started.push(one)
      return one
    }
    const recorded = (prompt: string, more: Partial<Task> = {}): Recorded => track(record(prompt, { mode: under.backend.mode, profile, ...more }))
    const dispose = ({ handles, run }: Recorded): Promise<void> => under.backend.dispose(handles.at(-1) as Handle, run)
    const nothingLeft = (task: Task): Promise<true> =>
      waitFor(async () => (await under.leftovers(task.id)).length === 0, { what: `nothing to be left of ${task.id}` }) as Promise<true>
    const can = (): BackendCapabilities => under.backend.capabilities
    /** The one file of a task, as its events tell of it and as it is. */
    const expectFile = async ({ task, events }: Recorded, path: string, text: string): Promise<void> => {
      expect(filesOf(events)).toEqual(can().files ? [{ path, change: 'added' }] : [])
      if (can().files) expect((await readFile(join(under.storageRoot, task.id, 'repo', path), 'utf8')).trim()).toBe(text)
    }

    test('says that it is ready, and what it can do', async () => {
      expect(can()).toMatchObject({ adopt: !lacks.includes('adopt'), files: !lacks.includes('files') })
      expect(can().steer || !steers).toBe(true)
      expect(can().ask || asks === false).toBe(true)
      expect(await under.backend.probe()).toEqual({ ok: true })
    })

    test('completes: the file is there, events and result agree, nothing is left after dispose', async () => {
      const one = recorded(`${dialect.write('notes/hello.txt', 'hello from the agent')} ${dialect.say('all done')}`)
      const execution = await under.backend.start(one.task, one.run)
      const outcome = await execution.outcome

      expect(outcome).toMatchObject({ kind: 'completed', result: { files_changed: can().files ? 1 : 0, output_truncated: false } })
      expect(outcome.result?.output).toContain('all done')
      expect(textOf(one.events)).toContain('all done')
      await expectFile(one, 'notes/hello.txt', 'hello from the agent')
      expect(await execution.result()).toEqual(outcome.result)
      await dispose(one)
      await nothingLeft(one.task)
      await expectFile(one, 'notes/hello.txt', 'hello from the agent') // the workspace stays
      await dispose(one) // and again: idempotent
    })

    test('takes the largest prompt, also one that looks like options', async () => {
      const prompt = `--help -n\n${dialect.say('taken as it is')}\n# `
      const one = recorded(prompt + '#'.repeat(MAX_PROMPT_BYTES - Buffer.byteLength(prompt)))
      const outcome = await (await under.backend.start(one.task, one.run)).outcome
      expect(outcome).toMatchObject({ kind: 'completed' })
      expect(outcome.result?.output).toContain('taken as it is')
    })

    test('stores the handle, as plain data, before anything is started', async () => {
      const one = recorded(dialect.say('hello'))
      const refused = { ...one.run, onHandle: () => Promise.reject(new Error('the claim is lost')) }
      await expect(under.backend.start(one.task, refused)).rejects.toThrow('the claim is lost')
      expect(await under.leftovers(one.task.id)).toEqual([])

      await (await under.backend.start(one.task, one.run)).outcome
      expect(one.handles.length).toBeGreaterThan(can().adopt ? 1 : 0) // to find it again takes a more precise one
      for (const handle of one.handles) expect(JSON.parse(JSON.stringify(handle))).toEqual(handle)
      await under.backend.dispose(one.handles[0] as Handle, one.run) // the first address is enough to leave nothing
      await nothingLeft(one.task)
    })

    test('fails with the code of the cause', async () => {
      const one = recorded(dialect.fail.prompt)
      const outcome = await (await under.backend.start(one.task, one.run)).outcome
      expect(outcome).toMatchObject({ kind: 'failed', failure: { code: dialect.fail.code } })
    })

    test('is ended in less than 2 s while it hangs, and leaves nothing', async () => {
      const one = recorded(`${dialect.say('before it hangs')} ${dialect.hang()}`)
      const execution = await under.backend.start(one.task, one.run)
      await waitFor(() => textOf(one.events).includes('before it hangs'), { what: 'its last words', timeoutMs: 60_000 })
      one.letGo.abort()
      await expect(execution.outcome).rejects.toThrow('aborted')
      const began = performance.now()
      await dispose(one)
      expect(performance.now() - began).toBeLessThan(2_000)
      await nothingLeft(one.task)
    })

    test('is ended right after its start, when nothing shows yet that it runs', async () => {
      const one = recorded(dialect.hang())
      const execution = await under.backend.start(one.task, one.run)
      const began = performance.now()
      one.letGo.abort()
      await expect(execution.outcome).rejects.toThrow('aborted')
      expect(performance.now() - began).toBeLessThan(20_000) // at once; but a busy machine is slow to say so
      await dispose(one)
      await nothingLeft(one.task)
    })

    test('lists what was started, with a handle that is enough to end it, and nothing of it afterwards (G10)', async () => {
      const foundOf = async ({ task }: Recorded): Promise<Found[]> => (await under.backend.list()).filter(({ taskId }) => taskId === task.id)
      const one = recorded(dialect.hang())
      await under.backend.start(one.task, one.run)
      one.letGo.abort()
      const [found, ...more] = await foundOf(one)
      expect(more).toEqual([])
      expect(Math.abs(Date.now() - (found?.createdAt ?? 0))).toBeLessThan(60_000)
      await under.backend.dispose(found?.handle as Handle, one.run)
      expect(await foundOf(one)).toEqual([])
      await nothingLeft(one.task)
    })

    test('ends nothing for a worker that has lost the claim (G4)', async () => {
      const one = recorded(`${dialect.slowly(30)} ${dialect.say('its own end')}`)
      const { handle, outcome } = await under.backend.start(one.task, one.run)
      await waitFor(() => textOf(one.events).includes('line-2'), { what: 'some output', timeoutMs: 60_000 })
      const stale = { ...one.run, confirmClaim: () => Promise.reject(new Error('another worker owns it')) }
      for (const end of [under.backend.dispose, under.backend.checkpoint]) await expect(end(handle, stale)).rejects.toThrow('another worker owns it')
      expect(await outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('its own end') as string } })
    })

    ownPlaceTest('ends itself, and what left its session, when no worker does (G9)', async () => {
      const marker = `escaped-${randomBytes(6).toString('hex')}`
      const one = recorded(dialect.escape(marker))
      const execution = await under.backend.start(one.task, { ...one.run, deadlineAt: Date.now() + WATCHED_MS - WATCHDOG_SLACK_MS })
      await waitFor(() => under.isRunning(marker), { what: 'the child to run', timeoutMs: WATCHED_MS })
      expect(await execution.outcome).toMatchObject({ kind: 'failed' })
      await waitFor(async () => !(await under.isRunning(marker)), { what: 'the child to be gone' })
    })

    ownPlaceTest('sweeps children that left their session', async () => {
      const marker = `escaped-${randomBytes(6).toString('hex')}`
      const one = recorded(dialect.escape(marker))
      await under.backend.start(one.task, one.run)
      await waitFor(() => under.isRunning(marker), { what: 'the child to run', timeoutMs: 60_000 })
      await dispose(one)
      expect(await under.isRunning(marker)).toBe(false)
      await nothingLeft(one.task)
    })

    test('keeps two tasks at once apart, each with files and changes of its own (L-38)', async () => {
      const pair = ['one', 'two'].map((word) => recorded(`${dialect.write(`${word}.txt`, word)} ${dialect.say(`I am ${word}`)}`))
      const outcomes = await Promise.all(pair.map(async ({ task, run }) => (await under.backend.start(task, run)).outcome))
      for (const [i, word] of ['one', 'two'].entries()) {
        const one = pair[i] as Recorded
        expect(outcomes[i]).toMatchObject({ kind: 'completed' })
        expect(textOf(one.events)).toContain(`I am ${word}`)
        await expectFile(one, `${word}.txt`, word)
        expect(filesOf(one.events)).toEqual(can().files ? [{ path: `${word}.txt`, change: 'added' }] : [])
      }
    })

    adoptTest('goes on under a new owner where the old one stopped: nothing lost, nothing twice (G5)', async () => {
      const one = recorded(`${dialect.slowly(30)} ${dialect.say('the end')}`)
      const first = await under.backend.start(one.task, one.run)
      first.outcome.catch(() => {})
      await waitFor(() => textOf(one.events).includes('line-2'), { what: 'some output', timeoutMs: 60_000 })
      one.letGo.abort()

      const next = track(successorOf(one))
      const handle = one.handles.at(-1) as Handle
      const execution = await under.backend.attach(next.task, handle, next.run)
      const outcome = await execution?.outcome
      expect(outcome).toMatchObject({ kind: 'completed' })
      expect(outcome?.result?.output).toContain('the end')
      const all = textOf([...one.events, ...next.events])
      const lines = Array.from({ length: 30 }, (_, i) => `line-${i + 1}`)
      expect(all.match(/line-\d+/g)).toEqual(lines)
      expect(outcome?.result?.output).toBe(all) // an adopter's result is what both have mirrored
      await dispose(next)
      expect(await under.backend.attach(next.task, handle, next.run)).toBeUndefined()
    })

    noAdoptTest('has nothing that could be adopted, and says so', async () => {
      const one = recorded(dialect.hang())
      await under.backend.start(one.task, one.run)
      const next = track(successorOf(one))
      expect(await under.backend.attach(next.task, next.task.handle as Handle, next.run)).toBeUndefined()
    })

    test('has nothing to resume before there is a session, and leaves nothing of what was started', async () => {
      // A profile may keep no session in a backend where others do; never the other way round.
      expect(under.backend.capabilities.resume || !resumes).toBe(true)
      const one = recorded(dialect.hang())
      const dying = { ...one.run, onHandle: (handle: Handle) => one.run.onHandle(handle).then(() => (one.handles.length > 1 ? Promise.reject(new Error('this worker dies')) : undefined)) }
      const ending = await under.backend.start(one.task, dying).then(() => 'started', (error: Error) => error.message)
      expect(ending).toBe(can().adopt ? 'this worker dies' : 'started')
      const next = track(successorOf(one))
      expect(await under.backend.resume(next.task, next.task.handle as Handle, next.run, 'go on')).toBeUndefined()
      if (resumes) await nothingLeft(one.task)
      await dispose(next)
      await nothingLeft(one.task)
    })

    noSteerTest('has nobody who could be told something while it works', async () => {
      const one = recorded(dialect.say('hello'))
      const execution = await under.backend.start(one.task, one.run)
      expect(execution.tell).toBeUndefined()
      await execution.outcome
    })

    if (steers) describeSteer({ under: () => under, dialect, recorded, track, dispose, adopts: !lacks.includes('adopt'), resumes })
    if (asks !== false) describeAsks({ questions: asks === true, refusalEnds, resumes, under: () => under, recorded, track, dispose })
    if (resumes) describeResume({ under: () => under, dialect, recorded, track, dispose, nothingLeft: (one) => nothingLeft(one.task) })
  })
}

/** Not even as skipped: there is nothing that this combination could be made to keep. */
function leaveOut(_title: string, _body: () => Promise<void>): void {}

import { rm } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'

import { type Mode, TaskId } from '@longshore/contracts'
import { describeNeeding, type GitServer, startGitServer, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  engineIfHere, expectStepsOnce, expectWholeLog, gatedSteps, type HistoryEvent, leftoversOf, measured, NEEDS, nothingLeftOf, openGate, type OpencodeServer, refusal, showLogsOfFailures, type Stack, startOpencodeServer, startStack, untilStep,
} from './harness/index.ts'

const STEPS = 4
const PAST_LOCK_MS = 30_000
/** What the agent is told, and when. */
const WHEN = ['before I began', 'while I worked', 'when I came back'] as const
const ASKED = ['task.input_required', 'task.input_answered']

/** What its agent lacks is refused in words, or the agent says so itself: `steer`, it can be told something while it works; `asks`, it asks questions and hears words with a refusal. */
interface Kind { name: string; mode: Mode; profile?: string; isRemote?: boolean; steer: boolean; asks: boolean }
const KINDS: readonly Kind[] = [
  { name: 'docker mode', mode: 'docker', steer: true, asks: true },
  { name: 'opencode mode (supervised)', mode: 'opencode', steer: true, asks: true },
  { name: 'opencode mode (remote)', mode: 'opencode', isRemote: true, steer: true, asks: true },
  { name: 'docker mode, over the Agent Client Protocol', mode: 'docker', profile: 'opencode-acp', steer: false, asks: false },
]

for (const { name, mode, profile, isRemote, steer, asks: canAsk } of KINDS) {
  describeNeeding(NEEDS[mode], `in control of a running agent: ${name}`, () => {
    describe('the journey', { timeout: 300_000 }, () => {
      let stack: Stack
      let server: OpencodeServer | undefined
      let git: GitServer
      beforeAll(async () => {
        git = await startGitServer()
        stack = await startStack({ workers: 0, engine: mode === 'docker' ? await engineIfHere() : undefined })
        if (isRemote === true) server = await startOpencodeServer(stack.provider, stack.providerToken)
        await addWorker()
      })
      afterEach(() => Promise.all(stack.apps('worker').map((one) => one.stop())))
      afterAll(async () => {
        await stack.stop()
        await server?.stop()
        await git.stop()
      })
      showLogsOfFailures(() => stack)

      const addWorker = () => stack.add('worker', { WORKER_MODES: mode, WORKSPACE_GIT_ALLOW: git.url, ...(server === undefined ? {} : { OPENCODE_SERVER_URL: server.url, OPENCODE_SERVER_PASSWORD: server.password }) })
      const asks = (id: string, words: string) => waitFor(async () => {
        const { inputs = [] } = await stack.alice.status(id)
        return inputs.some(({ question }) => question.includes(words)) ? inputs : undefined
      }, { what: `the agent to ask ${words}`, timeoutMs: 60_000 })
      /** @returns the message's id, of who can be told; the others refuse it, and say what to do instead */
      const tell = async (id: string, when: (typeof WHEN)[number]): Promise<string[]> => {
        const message = `[[say I heard you ${when}.]]`
        if (steer) return [await stack.alice.tell(id, message)]
        expect(await refusal(stack.alice.tell(id, message))).toMatchObject({ status: 409, code: 'not_supported', message: expect.stringContaining(`profile ${profile}) cannot be told anything`) as string, next: expect.stringContaining('task_description') as string })
        return []
      }
      const answerColor = async (id: string): Promise<void> => {
        const [question] = await asks(id, 'Which color?')
        expect(question?.choices).toEqual(['red', 'blue'])
        await stack.operator.answer(id, 'blue')
      }
      const untilDelivered = (id: string, messages: readonly string[]) => waitFor(async () => {
        const there = delivered(await stack.alice.events(id))
        return messages.every((one) => there.includes(one))
      }, { what: 'the message to be delivered', timeoutMs: 60_000 })
      const untilSaid = (id: string, words: string) => waitFor(async () => saidIn(await stack.alice.events(id)).includes(words), { what: `the agent to say ${words}` })
      const typesOf = (events: readonly HistoryEvent[]) => events.filter(({ type }) => !['task.output', 'task.tool', 'task.usage', 'task.file_changed'].includes(type)).map(({ type }) => type)

      test('a repository, told, denied, answered, looked into, paused, all workers restarted, told again, resumed, completed, all stopped: every message and answer arrives once, no work is done twice, no attempt is burned', async () => {
        const { url, commit } = await git.repository(`journey-${mode}`, { 'README.md': 'as it was\n' })
        const { task_id: id } = await stack.alice.submit(gatedSteps(STEPS, '[[bash git push origin HEAD]] [[ask Which color?|red|blue]]'), {
          mode, ...(profile === undefined ? {} : { profile }), timeout_ms: 200_000, workspace: { git: { url } }, permissions: { bash: { '*': 'allow', 'git push*': 'ask' } },
        })
        const early = await tell(id, 'before I began')
        await untilStep(stack, id, 2)
        await asks(id, 'git push')
        expect(await refusal(stack.alice.answer(id, 'allow'))).toMatchObject({ code: 'forbidden' })
        await stack.operator.answer(id, 'deny', 'leave that to me')
        if (canAsk) await answerColor(id)
        await stack.alice.until(id, ['running'])
        const told = await tell(id, 'while I worked')
        await untilDelivered(id, told)
        await untilSaid(id, canAsk ? '' : 'the tool "question" is not offered')
        expect(await stack.alice.read(id, 'steps.txt')).toBe('step-1\nstep-2\n')

        const asked = performance.now()
        expect(await stack.alice.control(id, 'pause', 'for the night')).toMatchObject({ outcome: 'requested' })
        await stack.alice.until(id, ['paused'], PAST_LOCK_MS)
        measured('pause asked for, and the task is paused (ms)', Math.round(performance.now() - asked))
        expect(await leftoversOf(id, { engineSocket: stack.engine?.socket })).toEqual([])
        expect(await Promise.all(stack.apps('worker').map((one) => one.stop()))).toEqual([0])
        const later = steer ? await tell(id, 'when I came back') : []
        await addWorker()
        if (!steer) await tell(id, 'when I came back') // without a worker nobody could say that it is in vain
        expect(await stack.alice.status(id)).toMatchObject({ status: 'paused', attempt: 1, ...(steer ? { messages_waiting: 1 } : {}) })
        await waitFor(async () => (await stack.alice.read(id, 'steps.txt')) === 'step-1\nstep-2\n', { what: 'the files of the paused task' })

        expect(await stack.alice.control(id, 'resume')).toMatchObject({ outcome: 'resumed' })
        await untilDelivered(id, later)
        await openGate(stack, id)
        const over = await stack.alice.untilCompleted(id)
        expect(over).toMatchObject({ attempt: 1, usage: expect.any(Object) as object, git: { commit } })
        expect(over).not.toHaveProperty('undelivered_messages')
        const events = await stack.alice.events(id)
        expectWholeLog(events)
        await expectStepsOnce(stack, id, STEPS, events)
        expect(delivered(events)).toEqual([...early, ...told, ...later])
        expect(typesOf(events).filter((type) => !type.startsWith('task.message'))).toEqual(['task.queued', 'task.started', ...ASKED, ...(canAsk ? ASKED : []), 'task.paused', 'task.queued', 'task.resumed', 'task.completed'])
        expect(events.find(({ type }) => type === 'task.input_answered')?.data).toMatchObject({ by: expect.stringContaining('operator') as string })
        const tools = events.filter(({ type }) => type === 'task.tool').map(({ data }) => JSON.stringify(data['output'] ?? '')).join('\n')
        for (const words of canAsk ? ['leave that to me', 'blue'] : []) expect(tools).toContain(words)
        const timesHeard = steer ? 1 : 0
        for (const words of WHEN) expect(saidIn(events).split(`I heard you ${words}.`)).toHaveLength(timesHeard + 1)
        await nothingLeftOf(id, { engineSocket: stack.engine?.socket })

        await waitFor(async () => (await stack.ledger.get(TaskId.parse(id)))?.kept, { what: 'what it left to be kept', timeoutMs: 60_000 })
        await stack.endApps('SIGTERM')
        await rm(stack.workspaces, { recursive: true })
        await stack.add('gateway')
        // No worker is alive, and the storage is gone.
        expect(await stack.alice.diff(id)).toContain('+step-1\n+step-2\n')
        expect(await stack.alice.read(id, 'steps.txt')).toContain('step-1\nstep-2\n')
        const output = await (await stack.alice.fetch(`/api/tasks/${id}/output`)).text()
        for (const words of WHEN) expect(output.split(`I heard you ${words}.`)).toHaveLength(timesHeard + 1)
        const archive = await stack.alice.fetch(`/api/tasks/${id}/archive`)
        expect(gunzipSync(await archive.bytes()).includes('step-1\nstep-2\n')).toBe(true)
        expect((await stack.bob.fetch(`/api/tasks/${id}/output`)).status).toBe(404)
        expect(await refusal(stack.bob.read(id, 'steps.txt'))).toMatchObject({ code: 'task_not_found' })
        expect(await stack.alice.status(id)).toMatchObject({ usage: over['usage'] })
      })
    })
  })
}

function delivered(events: readonly HistoryEvent[]): string[] {
  return events.filter(({ type }) => type === 'task.message_delivered').map(({ data }) => String(data['message_id']))
}

function saidIn(events: readonly HistoryEvent[]): string {
  return events.filter(({ type }) => type === 'task.output').map(({ data }) => String(data['text'])).join('')
}

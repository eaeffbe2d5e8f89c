import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CLIENTS, engineIfHere, expectWholeLog, NEEDS, nothingLeftOf, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

const WORK = 'Count the letters. [[say Let me see.]] [[write notes.txt|hello]] [[bash wc -c < notes.txt | tr -d " " > count.txt]] [[say All is counted.]]'

describe('two gateways, three workers and a notifier do real work', { timeout: 240_000 }, () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 3, notifiers: 1, engine: await engineIfHere() })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  for (const mode of MODES) {
    describeNeeding(NEEDS[mode], `in ${mode} mode`, () => {
      test.concurrent.each(CLIENTS)('%s submits a task; its files, status, history and notice agree', async (client) => {
        const mcp = stack.mcp(client)
        const submitted = await mcp.submit(WORK, { mode, timeout_ms: 120_000 })
        expect(submitted).toMatchObject({ status: 'queued', mode, agent_id: 'agent-alice', is_new: true })
        const task = await mcp.untilCompleted(submitted.task_id)
        const events = await mcp.events(task.task_id)

        expect(task).toMatchObject({ mode, attempt: 1, files_changed: 2 })
        expect(task.output).toContain('All is counted.')
        expectWholeLog(events)
        const ofType = (type: string): Record<string, unknown>[] => events.filter((event) => event.type === type).map(({ data }) => data)
        expect(events.map(({ type }) => type).slice(0, 2)).toEqual(['task.queued', 'task.started'])
        expect(ofType('task.started')).toMatchObject([{ attempt: 1, mode }])
        expect(ofType('task.tool')).toMatchObject([{ tool: 'write', status: 'completed' }, { tool: 'bash', status: 'completed' }])
        expect(ofType('task.file_changed')).toEqual(expect.arrayContaining([{ path: 'notes.txt', change: 'added' }, { path: 'count.txt', change: 'added' }]))
        expect(ofType('task.file_changed')).toHaveLength(2)
        expect(ofType('task.output').map(({ text }) => String(text)).join('')).toContain('Let me see.')
        expect(ofType('task.completed')).toMatchObject([{ attempt: 1, result: { files_changed: 2 } }])

        const inWorkspace = (name: string): Promise<string> => readFile(join(stack.workspaces, task.task_id, 'repo', name), 'utf8')
        expect((await inWorkspace('notes.txt')).trim()).toBe('hello')
        expect(Number(await inWorkspace('count.txt'))).toBeGreaterThanOrEqual(5)
        expect(await waitFor(() => noticesOf(task.task_id, 'completion').at(0), { what: 'the completion notice' })).toMatchObject({ status: 'completed' })
        expect(noticesOf(task.task_id, 'completion')).toHaveLength(1)
        await nothingLeftOf(task.task_id, { engineSocket: stack.engine?.socket })
      })
    })
  }

  /** What the log sink told of a task, in whole lines. */
  const noticesOf = (task: string, kind: string): { status: string; msg: string }[] => stack.apps('notifier').flatMap((one) => one.output().split('\n').slice(0, -1))
    .filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { task?: string; kind?: string; status: string; msg: string })
    .filter((line) => line.task === task && line.kind === kind)
})

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { waitFor } from '@longshore/testkit'
import type { HistoryEvent } from './agent.ts'
import type { Stack } from './stack.ts'

const GATE = 'open'

/** Work that can be counted afterwards: each step is a tool call that appends its number to a file, and then takes its time. */
export function step(number: number, seconds = 0.5): string {
  return `[[bash echo step-${number} >> steps.txt; sleep ${seconds}]]`
}

/** Steps 1 to `count`, and a last word. */
export function steps(count: number, seconds = 0.5): string {
  return `${Array.from({ length: count }, (_, index) => step(index + 1, seconds)).join(' ')} [[say The end.]]`
}

/** Steps 1 to `count`, with a gate behind the first two: such work is under way until the test opens it. `asked`: directives between them and the gate. */
export function gatedSteps(count: number, asked = ''): string {
  const [before, after] = [[1, 2], Array.from({ length: count - 2 }, (_, index) => index + 3)].map((numbers) => numbers.map((number) => step(number)).join(' '))
  return `${before} ${asked} [[bash until [ -e ${GATE} ]; do sleep 0.2; done]] ${after} [[say The end.]]`
}

/** Lets gated work go on. */
export async function openGate({ workspaces }: Pick<Stack, 'workspaces'>, taskId: string): Promise<void> {
  await writeFile(join(workspaces, taskId, 'repo', GATE), '')
}

/** The steps that were really done, as often as they were. */
export async function stepsDone({ workspaces }: Pick<Stack, 'workspaces'>, taskId: string): Promise<number[]> {
  const text = await readFile(join(workspaces, taskId, 'repo/steps.txt'), 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '').map((line) => Number(line.replace('step-', '')))
}

/** Waits until so many steps were begun. */
export async function untilStep(stack: Pick<Stack, 'workspaces'>, taskId: string, number: number, timeoutMs = 90_000): Promise<void> {
  await waitFor(async () => (await stepsDone(stack, taskId)).length >= number, { what: `step ${number} of ${taskId}`, timeoutMs, everyMs: 10 })
}

/**
 * Each step done once. One that is missing must be one whose call was cut off, and the log must say so: an agent is told of it
 * and would look, the scripted one does not.
 */
export async function expectStepsOnce(stack: Pick<Stack, 'workspaces'>, taskId: string, count: number, events: readonly HistoryEvent[]): Promise<void> {
  const done = await stepsDone(stack, taskId)
  const cutOff = events.filter(({ type, data }) => type === 'task.tool' && data['status'] === 'error').length
  const missing = Array.from({ length: count }, (_, index) => index + 1).filter((number) => !done.includes(number))
  const isOnce = new Set(done).size === done.length
  if (isOnce && missing.length <= cutOff) return
  throw new Error(`${count} steps were to be done once each; ${taskId} did ${done.join(', ')}, and ${cutOff} were cut off\n${events.map(({ seq, type, message }) => `${seq} ${type} ${message}`).join('\n')}`)
}

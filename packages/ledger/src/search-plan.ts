import { END_STATES, foldTitle, isOver, type Task, TASK_STATES } from '@longshore/contracts'

import type { TaskFilter } from './ledger.ts'
import { timeOf } from './task-index.ts'

/** What of a record a filter asks about. */
export type Peeked = Pick<Task, 'agent_id' | 'mode' | 'profile' | 'title' | 'state' | 'created_at' | 'ended_at'>

/** Whether a task is looked for. The record decides, always: the index only says where to look. */
export function matches(task: Peeked, filter: TaskFilter): boolean {
  const { agentId, states, mode, profile, titlePrefix, createdFrom = 0, createdBefore = Infinity, endedFrom, endedBefore } = filter
  const isAsked = (agentId === undefined || task.agent_id === agentId) && (states === undefined || states.includes(task.state))
    && (mode === undefined || task.mode === mode) && (profile === undefined || task.profile === profile)
  if (!isAsked || task.created_at < createdFrom || task.created_at >= createdBefore) return false
  if (endedFrom !== undefined || endedBefore !== undefined) {
    if (task.ended_at === undefined || task.ended_at < (endedFrom ?? 0) || task.ended_at >= (endedBefore ?? Infinity)) return false
  }
  return titlePrefix === undefined || foldTitle(task.title).startsWith(foldTitle(titlePrefix))
}

/** The states that what is looked for can be in. */
export function statesOf({ states, endedFrom, endedBefore }: TaskFilter): readonly Task['state'][] {
  const asked = states ?? TASK_STATES
  return endedFrom === undefined && endedBefore === undefined ? asked : asked.filter((state) => isOver(state))
}

/** Of the kinds of tasks that there are, those that are looked for. */
export function kindsOf(all: readonly string[], { mode, profile }: TaskFilter): string[] {
  return all.filter((kind) => {
    const [itsMode, itsProfile] = kind.split(':')
    return (mode === undefined || itsMode === mode) && (profile === undefined || itsProfile === profile)
  })
}

/** Stamps between which they stand: from `min` to before `max`. Nothing ends before it was created. */
export function boundsOf({ createdFrom = 0, createdBefore = Infinity, endedBefore = Infinity }: TaskFilter, cursor: string | undefined): { min: string; max: string } {
  const latest = timeOf(Math.min(createdBefore, endedBefore))
  return { min: timeOf(createdFrom), max: cursor !== undefined && cursor < latest ? cursor : latest }
}

/** The states that a build without an index may have moved a task out of without saying so. */
export const LIVE_STATES = TASK_STATES.filter((state) => !END_STATES.some((end) => end === state))

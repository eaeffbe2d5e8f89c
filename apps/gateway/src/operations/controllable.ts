import { LongshoreError, type Task, type TaskState } from '@longshore/contracts'

import { canDo } from '@longshore/queue'
import type { Call, Ports } from './operation.ts'

/** Who is named in the task's history for what this caller does. */
export function callerName({ caller }: Call): string {
  return caller.agentId ?? `operator:${caller.keyId}`
}

export function taskOver(state: TaskState): LongshoreError {
  return new LongshoreError('task_over', `the task is over: ${state}`, { next: 'Ask get_task_status for its result.' })
}

const WORDS = { pause: 'be paused while it runs', steer: 'be told anything while it runs' } as const
const NEXT = {
  pause: 'Cancel it, or let it go on.',
  steer: 'Put everything into task_description; cancel the task and submit it again if it must change.',
} as const

/** @throws LongshoreError not_supported */
export async function requireCapability(ports: Pick<Ports, 'workers'>, task: Pick<Task, 'mode' | 'worker' | 'profile'>, capability: keyof typeof WORDS): Promise<void> {
  if (canDo(await ports.workers(), task, capability)) return
  throw new LongshoreError('not_supported', `a task of this kind (${task.mode} mode here, profile ${task.profile}) cannot ${WORDS[capability]}`, { next: NEXT[capability] })
}

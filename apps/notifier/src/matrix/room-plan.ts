import type { Letter } from '../notice.ts'
import { cleanLine } from '../render/safe-text.ts'

/** Which tasks share a room: all of the deployment, those of one agent, or none. */
export type RoomsPer = 'deployment' | 'agent' | 'task'

export interface RoomPlan {
  per: RoomsPer
  /** `!id:server` or `#alias:server`: the one room of all tasks, made by somebody else. */
  given: string | undefined
  deployment: string
  botId: string
  /** Whom the operator wants in every room. */
  observers: readonly string[]
  /** Who may speak in rooms of ours; all others read and react. */
  speakers: readonly string[]
  /** Whom an open question pings besides the task's observers; nobody is named: those whom the operator wants in every room. */
  answerers: readonly string[]
}

/** A room of ours as it is to be; `alias` is the local part. */
export interface RoomForm { kind: 'ours'; alias: string; name: string; topic: string; isSpace: boolean; inSpace: boolean }
export type RoomWish = { kind: 'given'; room: string } | RoomForm

/** One lane per room. A reply knows its room's id; what is told of tasks goes by whose task it is, before there is a room. */
export function laneOf(letter: Letter, { per, given }: Pick<RoomPlan, 'per' | 'given'>): string {
  if (letter.kind === 'reply') return letter.room
  if (given !== undefined || per === 'deployment') return 'room'
  return per === 'agent' && letter.agent_id !== undefined ? `agent:${letter.agent_id}` : `task:${letter.task_id}`
}

/** Deployments' names have no `_`: two rooms never share an alias. */
export function wishOf(lane: string, title: string | undefined, { given, deployment }: Pick<RoomPlan, 'given' | 'deployment'>): RoomWish {
  const [what = '', whose = ''] = lane.split(/:(.*)/s)
  const ours = (form: Omit<RoomForm, 'kind' | 'isSpace' | 'inSpace'>, more: Partial<RoomForm> = {}): RoomForm => ({ kind: 'ours', isSpace: false, inSpace: false, ...form, ...more })
  if (lane.startsWith('!')) return { kind: 'given', room: lane }
  switch (what) {
    case 'agent': return ours({ alias: `longshore-${deployment}_agent_${whose}`, name: `Longshore · ${whose}`, topic: `Coding tasks of ${whose} as they run: one thread per task.` })
    case 'task': return ours({ alias: `longshore-${deployment}_${whose}`, name: cleanLine(title ?? whose, 80), topic: `The coding task ${whose} as it runs.` }, { inSpace: true })
    case 'space': return ours({ alias: `longshore-${deployment}_tasks`, name: `Longshore · ${deployment}`, topic: 'Coding tasks as they run: one room per task.' }, { isSpace: true })
    default:
      if (given !== undefined) return { kind: 'given', room: given }
      return ours({ alias: `longshore-${deployment}`, name: `Longshore · ${deployment}`, topic: 'Coding tasks as they run: one thread per task.' })
  }
}

/** Whether a room shows nothing but what the task's own agent does: then its observers may be brought in (G11). */
export const isPrivateTo = (lane: string): boolean => lane.startsWith('agent:') || lane.startsWith('task:')

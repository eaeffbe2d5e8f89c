import { MATRIX_ROLES, type MatrixRole } from '@longshore/contracts'

interface Rule {
  /** As a person writes it. */
  usage: string
  about: string
  /** The least role that may. */
  role: MatrixRole
  /** `task`: in a task's thread, or as a reply to what was posted of it. `room`: anywhere in a room of ours. */
  where: 'task' | 'room'
  /** Concerns the whole deployment: an operator must be one everywhere, an admin of one room may too. */
  reaches?: 'deployment'
}

/** All that can be done from Matrix, and who may: asked before anything is done, and shown by `!help`. */
export const DEEDS = {
  help: { usage: '!help', about: 'what you may do here', role: 'viewer', where: 'room' },
  status: { usage: '!status', about: 'how the task stands', role: 'viewer', where: 'task' },
  chat: { usage: 'a plain reply', about: 'tells the agent', role: 'operator', where: 'task' },
  say: { usage: '!say text', about: 'tells the agent, too', role: 'operator', where: 'task' },
  react: { usage: '✅ ❌ 1️⃣ …', about: 'as a reaction to a question: allow or yes, deny or go on without, that choice', role: 'operator', where: 'task' },
  approve: { usage: '!approve [number or choice]', about: 'allows what the agent asks for, or takes a choice', role: 'operator', where: 'task' },
  deny: { usage: '!deny [reason]', about: 'refuses it; of a question: the agent goes on without an answer', role: 'operator', where: 'task' },
  answer: { usage: '!answer text', about: 'answers a question; several choices as 1, 3', role: 'operator', where: 'task' },
  pause: { usage: '!pause [reason]', about: 'stops the task where it stands', role: 'operator', where: 'task' },
  resume: { usage: '!resume', about: 'lets it go on', role: 'operator', where: 'task' },
  cancel: { usage: '!cancel [reason]', about: 'ends it', role: 'operator', where: 'task' },
  rollout: { usage: '!rollout', about: 'how tasks are split between the modes', role: 'operator', where: 'room' },
  'rollout set': { usage: '!rollout set percent', about: 'sets the share of OpenCode mode', role: 'operator', where: 'room', reaches: 'deployment' },
} as const satisfies Record<string, Rule>

export type Deed = keyof typeof DEEDS
export const ruleOf = (deed: Deed): Rule => DEEDS[deed]
const ALL = Object.keys(DEEDS) as Deed[]

/** What somebody is: here, and everywhere. */
export interface Standing { here: MatrixRole | undefined; everywhere: MatrixRole | undefined }

/** Whether they may. */
export function may({ here, everywhere }: Standing, deed: Deed): boolean {
  const { role, reaches } = ruleOf(deed)
  if (!reachesUpTo(here, role)) return false
  return reaches === undefined || here === 'admin' || reachesUpTo(everywhere, role)
}

/** What they may do, in the order of the table. */
export const deedsOf = (standing: Standing): Deed[] => ALL.filter((deed) => may(standing, deed))

const rank = (role: MatrixRole | undefined): number => (role === undefined ? -1 : MATRIX_ROLES.indexOf(role))
const reachesUpTo = (role: MatrixRole | undefined, least: MatrixRole): boolean => rank(role) >= rank(least)

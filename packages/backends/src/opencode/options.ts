import { type Egress, type Handle, layersOf, type Mode, NO_RULES, type PermissionPolicy, type PolicyRules, type Task } from '@longshore/contracts'
import { z } from 'zod'
import type { Patience } from '../drivers/opencode/patience.ts'
import type { Told } from '../drivers/opencode/steer.ts'
import type { ModelAccess } from '../drivers/opencode/server-settings.ts'
import type { HandleData, ServerPlace } from '../places/server-place.ts'
import type { Offers } from '../task-choices.ts'
import type { WorkspaceSource } from '../workspace/task-workspace.ts'

export interface OpencodeBackendOptions extends WorkspaceSource {
  mode: Mode
  place: ServerPlace
  /** Only for what must not appear in events; the place hands it to the server. */
  model: ModelAccess
  /** What agents may do without asking; default: nothing beyond the built-in policy. */
  policy?: PolicyRules
  /** What tasks may choose. Default: nothing. Its values must not appear in events either. */
  offers?: Offers
  /** Where agents are let out through a proxy: what it refused is told in the task's log. */
  egress?: Egress | undefined
  /** Default of each: `DEFAULT_PATIENCE`. */
  patience?: Partial<Patience>
}

/** The policies that hold for a task. */
export function layersFor({ policy = NO_RULES }: OpencodeBackendOptions, task: Pick<Task, 'agent_id' | 'permissions'>): PermissionPolicy[] {
  return layersOf(policy, task)
}

/** What the driver adds to a place's handle: all three or none. `message` and `part` are those of the run's prompt, sent or about to be. */
export const SessionAddress = z.object({ session: z.string(), message: z.string(), part: z.string() })
export type SessionAddress = z.infer<typeof SessionAddress>

/** undefined: no session was made yet. */
export function sessionOf(handle: Handle): SessionAddress | undefined {
  return SessionAddress.safeParse(handle.data).data
}

const Mail = z.object({ mail: z.string(), mail_message: z.string(), mail_part: z.string() })

/** What the session was told last, or was about to be. */
export function toldOf({ data }: Pick<Handle, 'data'>): Told | undefined {
  const mail = Mail.safeParse(data).data
  return mail === undefined ? undefined : { id: mail.mail, message: mail.mail_message, part: mail.mail_part }
}

/** As it stands in a handle. */
export function mailData(told: Told | undefined): HandleData {
  return { mail: told?.id ?? null, mail_message: told?.message ?? null, mail_part: told?.part ?? null }
}

export function handleOf({ mode, storage }: OpencodeBackendOptions, engineId: string | undefined, data: HandleData): Handle {
  return { v: 1, mode, storage_id: storage.id, ...(engineId === undefined ? {} : { engine_id: engineId }), data }
}

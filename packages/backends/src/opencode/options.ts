import type { Handle, Mode } from '@longshore/contracts'
import { z } from 'zod'
import type { Patience } from '../drivers/opencode/patience.ts'
import type { ModelAccess } from '../drivers/opencode/server-settings.ts'
import type { HandleData, ServerPlace } from '../places/server-place.ts'
import type { Storage } from '../workspace/storage.ts'

export interface OpencodeBackendOptions {
  mode: Mode
  place: ServerPlace
  storage: Storage
  /** Only for what must not appear in events; the place hands it to the server. */
  model: ModelAccess
  /** Default of each: `DEFAULT_PATIENCE`. */
  patience?: Partial<Patience>
}

/** What the driver adds to a place's handle: all three or none. `message` and `part` are those of the run's prompt, sent or about to be. */
export const SessionAddress = z.object({ session: z.string(), message: z.string(), part: z.string() })
export type SessionAddress = z.infer<typeof SessionAddress>

/** undefined: no session was made yet. */
export function sessionOf(handle: Handle): SessionAddress | undefined {
  return SessionAddress.safeParse(handle.data).data
}

export function handleOf({ mode, storage }: OpencodeBackendOptions, engineId: string | undefined, data: HandleData): Handle {
  return { v: 1, mode, storage_id: storage.id, ...(engineId === undefined ? {} : { engine_id: engineId }), data }
}

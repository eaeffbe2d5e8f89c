import type { DockerProfile } from '../docker-profile.ts'
import type { ModelAccess } from '../drivers/opencode/server-settings.ts'
import type { Offers } from '../task-choices.ts'

/** Where agents' keys come from. */
interface AccessParts { model: ModelAccess; offers?: Offers | undefined; profiles?: Readonly<Record<string, DockerProfile>> | undefined }

/**
 * What all agents get of keys, whatever their profile and their task's choices, as one: so that the proxy has every key that one of them is
 * to have, and no variable of any agent holds one. What profiles `set` is no secret and stays out.
 */
export function accessOfAll({ model, offers, profiles = {} }: AccessParts): ModelAccess {
  const ofProfiles = Object.values(profiles).map((profile) => (profile.driver === 'opencode' ? {} : profile.env))
  return { ...model, env: Object.fromEntries([offers?.env ?? {}, ...ofProfiles, model.env].flatMap((env) => Object.entries(env))) }
}

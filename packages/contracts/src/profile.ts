import { z } from 'zod'
import { Cpus, EnvName, ImageName, MemoryMb } from './choices.ts'

/** How an agent is talked to: OpenCode's server, the Agent Client Protocol on its stdio, or not at all. */
export const DRIVERS = ['opencode', 'acp', 'command'] as const

export const ProfileName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'a profile name is 1 to 40 of a-z 0-9 -')

/** Which coding agent runs in a container, and how: what an operator writes into PROFILES_FILE. */
export const Profile = z.strictObject({
  driver: z.enum(DRIVERS, `driver: ${DRIVERS.join(', ')}`),
  /** For people who choose one. */
  about: z.string().max(200).optional(),
  /** Default: RUNNER_IMAGE. */
  image: ImageName.optional(),
  /** The agent and its arguments; no shell reads them. Not for `opencode`, which is started as its driver needs it. */
  command: z.array(z.string().min(1)).min(1).max(100).optional(),
  /** Names of the worker's environment variables that its container gets. Default: RUNNER_ENV. */
  env: z.array(EnvName).max(50).optional(),
  /** Further variables with their values; no secrets, which belong into the worker's environment. */
  set: z.record(EnvName, z.string().max(64 * 1024)).default({}),
  /** It is OpenCode: it gets the model, the providers and the permissions that OpenCode gets everywhere. */
  opencode_config: z.boolean().default(false),
  /** `acp`: one of the agent's ways to log in, for agents that want to be told. */
  auth_method: z.string().min(1).max(100).optional(),
  /** `acp`: `deny` refuses whatever its agent asks for; with `allow` the policies decide. */
  permission: z.enum(['allow', 'deny']).default('allow'),
  /** `command`: runs also for agents from whom a policy withholds something, as it asks nobody. Who sets it knows what the command does. */
  unasked: z.boolean().default(false),
  /** Default: RUNNER_CPU_LIMIT and RUNNER_MEMORY_LIMIT. */
  cpu: Cpus.optional(),
  memory_mb: MemoryMb.optional(),
}).superRefine(({ driver, command, auth_method: auth, env, set, permission, opencode_config: isOpencode, unasked }, context) => {
  // What would be left unheeded is refused: an operator who denies or withholds something must be able to rely on it.
  const only = (drivers: string, path: string) => context.addIssue({ code: 'custom', path: [path], message: `only for the driver ${drivers}` })
  if (driver === 'opencode' && env !== undefined) only('acp or command; what OpenCode gets is RUNNER_ENV', 'env')
  if (driver === 'opencode' && Object.keys(set).length > 0) only('acp or command; OpenCode is set up by OPENCODE_CONFIG', 'set')
  if (driver !== 'acp' && permission === 'deny') only('acp; PERMISSIONS and AGENT_PERMISSIONS say what OpenCode may do, and a plain command asks nobody: see unasked', 'permission')
  if (driver !== 'command' && unasked) only('command; other agents ask', 'unasked')
  if (driver !== 'acp' && isOpencode) only('acp', 'opencode_config')
  if (driver === 'opencode' && command !== undefined) context.addIssue({ code: 'custom', path: ['command'], message: 'not for the driver opencode; choose acp or command' })
  if (driver !== 'opencode' && command === undefined) context.addIssue({ code: 'custom', path: ['command'], message: `missing: the driver ${driver} needs to know what to run` })
  if (driver !== 'acp' && auth !== undefined) context.addIssue({ code: 'custom', path: ['auth_method'], message: 'only for the driver acp' })
})
export type Profile = z.infer<typeof Profile>
export type Profiles = Readonly<Record<string, Profile>>

/** What every task gets that asks for none. The only one that also runs outside of containers. */
export const DEFAULT_PROFILE = 'opencode'

const BUILT_IN: Profiles = {
  [DEFAULT_PROFILE]: Profile.parse({ driver: 'opencode', about: 'OpenCode, driven through its server.' }),
  'opencode-acp': Profile.parse({ driver: 'acp', about: 'OpenCode, driven through the Agent Client Protocol.', command: ['opencode', 'acp'], opencode_config: true }),
}

/** @param command RUNNER_COMMAND: it takes the place of OpenCode, and is the profile `command`, too */
export function allProfiles(given: Profiles, command: string | undefined): Profiles {
  const plain = command === undefined ? undefined : Profile.parse({ driver: 'command', about: 'The command of RUNNER_COMMAND.', command: ['sh', '-c', command] })
  return { ...BUILT_IN, ...(plain === undefined ? {} : { [DEFAULT_PROFILE]: plain, command: plain }), ...given }
}

/** What PROFILES_FILE holds: profiles by name. @throws Error that names each field that does not fit */
export function parseProfiles(text: string): Profiles {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch (error) {
    throw new Error(`not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  const parsed = z.record(ProfileName, Profile).safeParse(raw)
  if (parsed.success) return parsed.data
  throw new Error(parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the whole'}: ${issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message}`).join('; '))
}

import { readFile } from 'node:fs/promises'

import { allProfiles, type Allowed, parseProfiles, type PolicyRules, type Profiles } from '@longshore/contracts'
import { isOwnSecret, type Settings, SettingsError } from './settings.ts'

/** What tasks may choose, as gateways and workers read it out of the same settings. */
export function allowedFrom(settings: Pick<Settings, 'TASK_MODELS' | 'TASK_IMAGES' | 'TASK_ENV_NAMES' | 'TASK_MAX_CPUS' | 'TASK_MAX_MEMORY' | 'RUNNER_CPU_LIMIT' | 'RUNNER_MEMORY_LIMIT'>): Allowed {
  return {
    models: settings.TASK_MODELS, images: settings.TASK_IMAGES, envNames: settings.TASK_ENV_NAMES,
    maxCpus: settings.TASK_MAX_CPUS ?? settings.RUNNER_CPU_LIMIT, maxMemoryMb: Math.floor(bytesOf(settings.TASK_MAX_MEMORY ?? settings.RUNNER_MEMORY_LIMIT) / 1024 ** 2),
  }
}

/** What this deployment's agents may do without asking. */
export function policyOf({ PERMISSIONS: permissions, AGENT_PERMISSIONS: agents }: Pick<Settings, 'PERMISSIONS' | 'AGENT_PERMISSIONS'>): PolicyRules {
  return { permissions, agents }
}

/** The profiles of this deployment, built in and given. @throws SettingsError that names the field that does not fit */
export async function readProfiles({ PROFILES_FILE: path, RUNNER_COMMAND: command }: Pick<Settings, 'PROFILES_FILE' | 'RUNNER_COMMAND'>): Promise<Profiles> {
  try {
    return checked(allProfiles(path === undefined ? {} : parseProfiles(await readFile(path, 'utf8')), command))
  } catch (error) {
    throw new SettingsError(`PROFILES_FILE: got ${JSON.stringify(path)}, allowed: a file of profiles as docs/guides/profiles.md has it. ${error instanceof Error ? error.message : String(error)}`)
  }
}

function checked(profiles: Profiles): Profiles {
  for (const [name, { env = [] }] of Object.entries(profiles)) {
    const secret = env.find(isOwnSecret)
    if (secret !== undefined) throw new Error(`${name}.env: ${secret} is a secret of the deployment itself, and no agent's`)
  }
  return profiles
}

const FACTORS: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** `512m` in bytes; the setting's schema has checked the form. */
export function bytesOf(size: string): number {
  const unit = size.at(-1)?.toLowerCase() ?? ''
  return Number.parseInt(size, 10) * (FACTORS[unit] ?? 1)
}

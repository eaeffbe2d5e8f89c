import { Complaint, type Input, type Option } from './command.ts'

/** What a task may choose besides its mode; the gateway says what is allowed. */
export const CHOICE_OPTIONS: Readonly<Record<string, Option>> = {
  profile: { type: 'string', value: 'NAME', about: 'Which agent runs: a profile of the deployment. Default: opencode.' },
  model: { type: 'string', value: 'MODEL', about: 'Model, as the agent names it: provider/model; one of TASK_MODELS.' },
  image: { type: 'string', value: 'IMAGE', about: 'Image of the container; one of TASK_IMAGES.' },
  cpu: { type: 'string', value: 'N', about: 'CPUs of the container, such as 1.5; at most TASK_MAX_CPUS.' },
  'memory-mb': { type: 'string', value: 'N', about: 'Memory of the container in MiB; at most TASK_MAX_MEMORY.' },
  env: { type: 'string', value: 'NAMES', about: 'Names of variables (comma separated) that the agent needs, of TASK_ENV_NAMES.' },
  'max-attempts': { type: 'string', value: 'N', about: 'How often it may be started when a failure is expected to pass.' },
}

interface Chosen { profile?: string; model?: string; image?: string; cpu?: number; memory_mb?: number; env?: string[]; max_attempts?: number }

/** As the gateway takes them. @throws Complaint */
export function choicesIn(options: Input['options']): Chosen {
  const text = (name: string): string | undefined => options[name] as string | undefined
  const number = (name: string): number | undefined => {
    const given = text(name)
    if (given !== undefined && !/^\d{1,9}(\.\d{1,3})?$/.test(given)) throw new Complaint(`--${name}: got "${given}", allowed: a number.`)
    return given === undefined ? undefined : Number(given)
  }
  const all = {
    profile: text('profile'), model: text('model'), image: text('image'), cpu: number('cpu'), memory_mb: number('memory-mb'),
    env: text('env')?.split(',').map((name) => name.trim()), max_attempts: number('max-attempts'),
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

import { z } from 'zod'

/** Name of an environment variable. */
export const EnvName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a variable\'s name is 1 to 128 of A-Z a-z 0-9 _ and begins with no digit')
/** No spaces, no control characters; nothing that could be taken for an option. */
const Reference = z.string().regex(/^[A-Za-z0-9][\w./:@+-]{0,254}$/, 'letters, digits and . _ / : @ + -, at most 255, the first a letter or digit')
export const ImageName = Reference
/** As the profile's agent names it: `provider/model` for OpenCode. */
export const ModelName = Reference
export const Cpus = z.number().positive().max(1_024)
export const MemoryMb = z.int().min(16).max(16 * 1024 * 1024)

/** What a task may choose, within what the operator allows; what is absent is the profile's. */
export const Choices = z.object({
  model: ModelName.optional(),
  image: ImageName.optional(),
  cpu: Cpus.optional(),
  memory_mb: MemoryMb.optional(),
  /** Names only: their values are the operator's, and stand in no record. */
  env: z.array(EnvName).max(50).optional(),
})
export type Choices = z.infer<typeof Choices>
export const CHOICES = ['model', 'image', 'cpu', 'memory_mb', 'env'] as const
export type Choice = (typeof CHOICES)[number]

/** The part of a task that is its choices; undefined when it chose nothing. */
export function choicesOf(task: Choices): Choices | undefined {
  const made = CHOICES.filter((name) => task[name] !== undefined && !(name === 'env' && task.env?.length === 0))
  return made.length === 0 ? undefined : Object.fromEntries(made.map((name) => [name, task[name]]))
}

/** What an operator lets tasks choose. Nothing of a list that is empty. */
export interface Allowed { models: readonly string[]; images: readonly string[]; envNames: readonly string[]; maxCpus: number; maxMemoryMb: number }

/** One choice that is not allowed, in words that name what is. */
export interface Refusal { field: Choice; got: string; allowed: string; setting: string }

/** Asked twice, by the gateway at the submit and by the worker at the start: their settings may differ. undefined: all is allowed. */
export function refusalOf(choices: Choices, allowed: Allowed): Refusal | undefined {
  const unknown = (field: Choice, setting: string, got: readonly string[], list: readonly string[]): Refusal | undefined => {
    const wrong = got.find((name) => !list.includes(name))
    return wrong === undefined ? undefined : { field, got: JSON.stringify(wrong), allowed: list.length === 0 ? 'none here' : list.join(', '), setting }
  }
  const above = (field: Choice, setting: string, got: number | undefined, most: number): Refusal | undefined =>
    (got === undefined || got <= most ? undefined : { field, got: String(got), allowed: `at most ${most} here`, setting })
  return unknown('model', 'TASK_MODELS', listed(choices.model), allowed.models) ?? unknown('image', 'TASK_IMAGES', listed(choices.image), allowed.images)
    ?? unknown('env', 'TASK_ENV_NAMES', choices.env ?? [], allowed.envNames)
    ?? above('cpu', 'TASK_MAX_CPUS', choices.cpu, allowed.maxCpus) ?? above('memory_mb', 'TASK_MAX_MEMORY', choices.memory_mb, allowed.maxMemoryMb)
}

function listed(value: string | undefined): string[] {
  return value === undefined ? [] : [value]
}

import { type Allowed, type Choice, CHOICES, type Choices, choicesOf, refusalOf, TaskFailure } from '@longshore/contracts'
import type { ModelAccess } from './drivers/opencode/server-settings.ts'
import type { Limits } from './places/container-spec.ts'

/** What tasks may choose here, and what stands behind the names that they may give. */
export interface Offers extends Omit<Allowed, 'envNames'> {
  /** Values of the variables that a task may ask for by name. Secret. */
  env: Readonly<Record<string, string>>
  /** All such names; one without a value here is a task's failure, not a silence. */
  envNames: readonly string[]
}

/** Nothing but what the profile says. */
export const NO_OFFERS: Offers = { models: [], images: [], env: {}, envNames: [], maxCpus: 0, maxMemoryMb: 0 }

/** The task's choices; undefined when it made none. @throws TaskFailure `not_allowed` */
function choicesAllowed(task: Choices, offers: Offers): Choices | undefined {
  const choices = choicesOf(task)
  if (choices === undefined) return undefined
  const refusal = refusalOf(choices, offers)
  if (refusal !== undefined) throw new TaskFailure('not_allowed', `${refusal.field}: the task asks for ${refusal.got}; this worker's ${refusal.setting} allows: ${refusal.allowed}`)
  const lacking = choices.env?.find((name) => offers.env[name] === undefined)
  if (lacking !== undefined) throw new TaskFailure('not_allowed', `env: the task asks for ${lacking}; this worker allows it, and its own environment has no such variable`)
  return choices
}

/** What a place can do for a task: the choices that it can keep. */
export const EVERY_CHOICE: readonly Choice[] = CHOICES
/** Without a container there is no image and no limit. */
export const PROCESS_CHOICES: readonly Choice[] = ['model', 'env']

/** The task's choices, of which the place keeps only some. @throws TaskFailure `not_allowed` */
export function choicesWithin(task: Choices, offers: Offers, kept: readonly Choice[]): Choices {
  const choices = choicesAllowed(task, offers) ?? {}
  const lost = CHOICES.find((name) => choices[name] !== undefined && !kept.includes(name))
  if (lost !== undefined) throw new TaskFailure('not_allowed', `${lost}: what runs the task here cannot be given one; it takes ${kept.length === 0 ? 'no choice' : kept.join(', ')}`)
  return choices
}

/** The variables that a task asked for, with the operator's values. */
export function envOf({ env }: Choices, offers: Offers): Record<string, string> {
  return Object.fromEntries((env ?? []).flatMap((name) => (offers.env[name] === undefined ? [] : [[name, offers.env[name]]])))
}

/** The model and the variables that the task chose, in place of the deployment's. */
export function modelOfTask(model: ModelAccess, choices: Choices, offers: Offers): ModelAccess {
  return { ...model, env: { ...model.env, ...envOf(choices, offers) }, config: choices.model === undefined ? model.config : { ...model.config, model: choices.model } }
}

/** The limits that the task chose for its container. */
export function limitsOfTask({ cpu, memory_mb: memoryMb }: Choices): Partial<Limits> {
  return { ...(cpu === undefined ? {} : { cpus: cpu }), ...(memoryMb === undefined ? {} : { memoryBytes: memoryMb * 1024 ** 2 }) }
}

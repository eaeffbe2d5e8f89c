import { type Choice, type Choices, CHOICES, DEFAULT_PROFILE, LongshoreError, type Mode, MODES, type Profiles } from '@longshore/contracts'
import { type Heartbeat, servedBy } from '@longshore/queue'

/** What a task asks of whoever runs it. */
export interface Wanted { profile: string; choices: Choices | undefined }

/** `live`: a worker that is alive takes such tasks. `possible`: one could, and none is there to say so. `no`: those that are there do not. */
type Service = 'live' | 'possible' | 'no'

/** What runs in no container knows the default profile only, and no choices that need one. */
const IN_CONTAINERS: ReadonlySet<Choice> = new Set(['image', 'cpu', 'memory_mb'])

/**
 * The mode of a task: the caller's, else the rollout's choice where that serves what the task asks for, else the other one (G13: what can
 * be done is asked of capabilities). `isServed`: whether somebody is there to run it.
 * @throws LongshoreError invalid_input
 */
export function servingMode(wanted: Wanted, preferred: Mode, explicit: Mode | undefined, workers: readonly Heartbeat[]): { mode: Mode; isServed: boolean } {
  if (wanted.profile === DEFAULT_PROFILE && wanted.choices === undefined) return { mode: explicit ?? preferred, isServed: true }
  const order = explicit === undefined ? [preferred, ...MODES.filter((mode) => mode !== preferred)] : [explicit]
  const services = order.map((mode) => ({ mode, service: serviceOf(mode, wanted, workers) }))
  const best = services.find(({ service }) => service === 'live') ?? services.find(({ service }) => service === 'possible')
  if (best !== undefined) return { mode: best.mode, isServed: best.service === 'live' }
  throw notServed(wanted, explicit)
}

function serviceOf(mode: Mode, { profile, choices }: Wanted, workers: readonly Heartbeat[]): Service {
  const reports = workers.filter(({ draining }) => !draining).flatMap(({ modes }) => modes.filter((report) => report.mode === mode))
  const asked = namesOf(choices)
  const able = reports.filter((report) => {
    const served = servedBy(report, profile)
    return served !== undefined && asked.every((name) => served.choices.includes(name))
  })
  if (able.length > 0) return able.some(({ ok }) => ok) ? 'live' : 'possible'
  const isConceivable = mode === 'docker' || (profile === DEFAULT_PROFILE && !asked.some((name) => IN_CONTAINERS.has(name)))
  return isConceivable && reports.length === 0 ? 'possible' : 'no'
}

function namesOf(choices: Choices | undefined): Choice[] {
  return CHOICES.filter((name) => choices?.[name] !== undefined)
}

function notServed({ profile, choices }: Wanted, explicit: Mode | undefined): LongshoreError {
  const names = namesOf(choices)
  const what = `the profile ${profile}${names.length === 0 ? '' : ` with a choice of ${names.join(', ')}`}`
  return new LongshoreError('invalid_input', `${explicit === undefined ? 'profile' : 'mode'}: got ${JSON.stringify(explicit ?? profile)}, and no worker that is there runs ${what}${explicit === undefined ? '' : ' in that mode'}`, {
    field: explicit === undefined ? 'profile' : 'mode', next: explicit === undefined ? 'Choose another profile, or leave the choices out.' : 'Leave mode out: the one that serves it is taken.',
  })
}

/** @throws LongshoreError invalid_input that names the profiles there are */
export function knownProfile(asked: string | undefined, profiles: Profiles): string {
  const profile = asked ?? DEFAULT_PROFILE
  if (Object.hasOwn(profiles, profile)) return profile
  throw new LongshoreError('invalid_input', `profile: got ${JSON.stringify(profile)}, allowed: ${Object.keys(profiles).join(', ')}`, { field: 'profile', next: 'Leave it out for the deployment\'s default, opencode.' })
}

import { type Backend, type BackendCapabilities, type BackendHealth, type Log, type Mode, toFailure } from '@longshore/contracts'
import type { ModeReport } from '@longshore/queue'
import { keepRounds, type Rounds } from '@longshore/runtime'

import { admits, afterNews, breakerReason, type BreakerSettings, type BreakerState, closedBreaker, type PlaceNews } from './breaker.ts'
import type { PlaceWatch } from './run.ts'
import { within } from './within.ts'

/** What each mode of this worker can take now: its backend's probe is good, and its breaker is closed. */
export interface ModeBoard extends PlaceWatch {
  readonly modes: readonly Mode[]
  reports(): ModeReport[]
  /** What tickets the mode may take. */
  admits(mode: Mode): boolean | 'one'
  /** The engine that its backend reaches, once a probe was good. */
  engineOf(mode: Mode): string | undefined
  stop(): Promise<void>
}

export interface ModeBoardOptions {
  backends: readonly Backend[]
  /** Called after the first probe, and whenever something that the board says of a mode has changed. */
  onChange: (mode: Mode) => void
  breaker: BreakerSettings
  log: Log
  /** Default 10 s; a mode that is off is looked at every 2 s. */
  everyMs?: number
}

const PROBE_MS = 20_000
/** Whoever waits for a mode to come on should not wait for the next regular look. */
const OFF_MS = 2_000

interface ModeState { backend: Backend; health: BackendHealth | undefined; engineId: string | undefined; breaker: BreakerState; rounds: Rounds; reopening: NodeJS.Timeout | undefined }

/** Probes every backend now and again. A mode whose probe fails is off, with the reason; the others go on. */
export function watchModes(options: ModeBoardOptions): ModeBoard {
  const states = new Map(options.backends.map((backend) => [backend.mode, watchMode(backend, options)]))
  const now = () => performance.now()
  const of = (mode: Mode) => states.get(mode)
  const tell = (mode: Mode, news: PlaceNews) => {
    const state = of(mode)
    if (state !== undefined) hear(state, news, options)
  }
  return {
    modes: options.backends.map(({ mode }) => mode),
    reports: () => [...states.values()].map(reportOf),
    admits: (mode) => {
      const state = of(mode)
      return state?.health?.ok === true && admits(state.breaker, now())
    },
    engineOf: (mode) => of(mode)?.engineId,
    begun: (mode) => tell(mode, { kind: 'begun' }),
    done: (mode) => tell(mode, { kind: 'done' }),
    failed: (mode, failure) => {
      tell(mode, { kind: 'failed', failure })
      of(mode)?.rounds.wake() // the probe may say more
    },
    isOnTrial: (mode) => of(mode)?.breaker.kind === 'open',
    stop: async () => {
      for (const { reopening } of states.values()) clearTimeout(reopening)
      await Promise.all([...states.values()].map(({ rounds }) => rounds.stop()))
    },
  }
}

function watchMode(backend: Backend, { onChange, breaker, log, everyMs = 10_000 }: ModeBoardOptions): ModeState {
  const { mode } = backend
  const round = async () => {
    const found = await probe(backend)
    const before = { ok: state.health?.ok, engineId: state.engineId }
    state.health = found.health
    state.engineId = found.health.ok ? found.engineId : state.engineId
    if (before.ok !== found.health.ok) {
      if (found.health.ok) log.info({ mode, isolation: backend.capabilities.isolation, engine_id: state.engineId }, 'the mode is on')
      else log.warn({ mode, reason: found.health.reason }, 'the mode is off')
    }
    if (before.ok !== found.health.ok || before.engineId !== state.engineId) onChange(mode)
  }
  const state: ModeState = {
    backend, health: undefined, engineId: undefined, breaker: closedBreaker(breaker), reopening: undefined,
    rounds: keepRounds({ everyMs: () => (state.health?.ok === true ? everyMs : Math.min(everyMs, OFF_MS)), log, failing: 'a probe failed', round }),
  }
  return state
}

function hear(state: ModeState, news: PlaceNews, { breaker, onChange, log }: ModeBoardOptions): void {
  const now = performance.now()
  const [before, after] = [state.breaker, afterNews(state.breaker, news, now, breaker)]
  state.breaker = after
  if (after.kind === before.kind && untilOf(after) === untilOf(before)) return
  const { mode } = state.backend
  clearTimeout(state.reopening)
  if (after.kind === 'open') {
    log.warn({ mode, reason: breakerReason(after, now) }, 'the mode takes no tasks for now')
    reopenAt(state, after.until, () => onChange(mode))
  } else {
    log.info({ mode }, 'the breaker is closed: the mode takes tasks again')
  }
  onChange(mode)
}

/** Timers of Node may be some ms early: the mode would look closed still, and nobody would look again. */
function reopenAt(state: ModeState, until: number, reopen: () => void): void {
  const leftMs = until - performance.now()
  if (leftMs <= 0) reopen()
  else state.reopening = setTimeout(() => reopenAt(state, until, reopen), Math.ceil(leftMs))
}

function untilOf(state: BreakerState): number | undefined {
  return state.kind === 'open' ? state.until : undefined
}

async function probe(backend: Backend): Promise<{ health: BackendHealth; engineId?: string | undefined }> {
  try {
    const health = await within(PROBE_MS, backend.probe(), 'the probe')
    return health.ok ? { health, engineId: await within(PROBE_MS, backend.engineId(), 'the engine\'s id') } : { health }
  } catch (error) {
    return { health: { ok: false, reason: toFailure(error).message } }
  }
}

function reportOf({ backend, health, engineId, breaker }: ModeState): ModeReport {
  const { mode, capabilities, profiles } = backend
  const report = {
    mode, isolation: capabilities.isolation, ...(engineId === undefined ? {} : { engine_id: engineId }), capabilities: shown(capabilities),
    ...(profiles === undefined ? {} : { profiles: [...profiles].map(([name, served]) => ({ name, capabilities: shown(served.capabilities), choices: [...served.choices] })) }),
  }
  const reason = health === undefined ? 'not probed yet' : health.ok ? breakerReason(breaker, performance.now()) : health.reason
  return reason === undefined ? { ...report, ok: true } : { ...report, ok: false, reason }
}

function shown({ adopt, resume, steer, ask, pause, usage, files }: BackendCapabilities): ModeReport['capabilities'] {
  return { adopt, resume, steer, ask, pause, usage, files }
}

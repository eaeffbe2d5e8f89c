import { type Backend, type BackendHealth, type Log, type Mode, toFailure } from '@longshore/contracts'
import type { ModeReport } from '@longshore/queue'
import { keepRounds, type Rounds } from '@longshore/runtime'

import { within } from './within.ts'

/** Which modes this worker can run now, as their backends' probes say. */
export interface ModeBoard {
  reports(): ModeReport[]
  /** Probes this mode again at once: a task met trouble there. */
  doubt(mode: Mode): void
  stop(): Promise<void>
}

export interface ModeBoardOptions {
  backends: readonly Backend[]
  /** Called after the first probe and at each change. */
  onChange: (mode: Mode, isOk: boolean) => void
  log: Log
  /** Default 10 s. */
  everyMs?: number
}

const PROBE_MS = 20_000

/** Probes every backend now and again. A mode whose probe fails is off, with the reason; the others go on. */
export function watchModes({ backends, onChange, log, everyMs = 10_000 }: ModeBoardOptions): ModeBoard {
  const health = new Map<Mode, BackendHealth>()
  const rounds = new Map<Mode, Rounds>(backends.map((backend) => [backend.mode, keepRounds({
    everyMs, log, failing: 'a probe failed',
    round: async () => {
      const found = await probe(backend)
      const before = health.get(backend.mode)
      health.set(backend.mode, found)
      if (before?.ok === found.ok) return
      if (found.ok) log.info({ mode: backend.mode, isolation: backend.capabilities.isolation }, 'the mode is on')
      else log.warn({ mode: backend.mode, reason: found.reason }, 'the mode is off')
      onChange(backend.mode, found.ok)
    },
  })]))
  return {
    reports: () => backends.map((backend) => reportOf(backend, health.get(backend.mode))),
    doubt: (mode) => rounds.get(mode)?.wake(),
    stop: async () => {
      await Promise.all([...rounds.values()].map((round) => round.stop()))
    },
  }
}

async function probe(backend: Backend): Promise<BackendHealth> {
  try {
    return await within(PROBE_MS, backend.probe(), 'the probe')
  } catch (error) {
    return { ok: false, reason: toFailure(error).message }
  }
}

function reportOf({ mode, capabilities: { isolation, ...capabilities } }: Backend, health: BackendHealth | undefined): ModeReport {
  const { adopt, resume, steer, pause, usage, files } = capabilities
  const report = { mode, isolation, capabilities: { adopt, resume, steer, pause, usage, files } }
  if (health === undefined) return { ...report, ok: false, reason: 'not probed yet' }
  return health.ok ? { ...report, ok: true } : { ...report, ok: false, reason: health.reason }
}

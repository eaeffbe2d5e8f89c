import type { Log } from '@longshore/contracts'
import type { TroubleLog } from './lane.ts'

/** A fault has to come this often in a row before people hear of it. */
const LOUD_AFTER = 3

/** Says a trouble once, however many lanes have it, and its end. */
export function createTroubleLog(log: Log, sink: string): TroubleLog {
  const alerts = new Map<string, string>()
  const isNew = (lane: string, reason: string): boolean => {
    const known = [...alerts.values()].includes(reason)
    alerts.set(lane, reason)
    return !known
  }
  return {
    note(lane, outcome, faults) {
      switch (outcome.kind) {
        case 'limited': case 'later': return
        case 'sent':
          if (alerts.delete(lane) && alerts.size === 0) log.info({ sink, alert: 'over' }, 'notices are taken again')
          return
        case 'refused':
          log.error({ sink, lane, reason: outcome.reason }, 'a notice was refused for good; it is in the dead letters')
          return
        case 'blocked':
          if (isNew(lane, outcome.reason)) log.error({ sink, lane, alert: 'blocked', reason: outcome.reason }, 'no notice can be sent there until somebody mends this; they are kept')
          return
        case 'again':
          if (faults < LOUD_AFTER || alerts.has(lane)) return
          if (isNew(lane, outcome.reason)) log.warn({ sink, lane, alert: 'away', reason: outcome.reason }, 'the receiver of notices does not answer; they are kept and tried again')
      }
    },
  }
}

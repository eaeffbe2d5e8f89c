import type { Redis } from 'ioredis'
import { Counter, Gauge, type Registry } from 'prom-client'

import type { Clock } from '@longshore/contracts'
import type { Check } from '@longshore/runtime'
import type { Frozen } from './outbox/frozen.ts'
import { createOutbox, type Outbox } from './outbox/outbox.ts'
import type { Outcome, Sink } from './sink.ts'

export interface NoticeMetrics {
  onOutcome(outcome: Outcome, lane: string, frozen: Frozen | undefined): void
  /** For `/ready`: whether the sink took the last thing it was given, in each lane. */
  check(): Check
}

/** Counts what became of notices, and shows how many wait, for each sink that was asked for. */
export function createNoticeMetrics(registry: Registry, { redis, deployment, now }: { redis: Redis; deployment: string; now: Clock }): { of(sink: Pick<Sink, 'name' | 'isStranger'>): NoticeMetrics } {
  const tries = new Counter({ name: 'longshore_notice_tries_total', help: 'Tries to post a notice, by what became of them.', labelNames: ['sink', 'kind', 'outcome'], registers: [registry] })
  const waiting = new Gauge({ name: 'longshore_notices_waiting', help: 'Notices in the outbox.', labelNames: ['sink'], registers: [registry], collect: () => collect() })
  const dead = new Gauge({ name: 'longshore_notices_dead', help: 'Notices that the sink refused for good.', labelNames: ['sink'], registers: [registry] })
  const oldest = new Gauge({ name: 'longshore_notices_oldest_seconds', help: 'For how long the oldest notice in the outbox has waited.', labelNames: ['sink'], registers: [registry] })
  const outboxes = new Map<string, Pick<Outbox, 'sizes'>>()
  const collect = async () => {
    for (const [sink, outbox] of outboxes) {
      const sizes = await outbox.sizes().catch(() => undefined)
      if (sizes === undefined) return
      waiting.set({ sink }, sizes.waiting)
      dead.set({ sink }, sizes.dead)
      oldest.set({ sink }, sizes.oldestAgeMs / 1_000)
    }
  }
  return {
    of: (sink) => {
      outboxes.set(sink.name, createOutbox({ redis, deployment, sink: sink.name }))
      return countNotices(sink, tries, now)
    },
  }
}

/** What another notifier mended meanwhile is no trouble of ours any more. */
const TROUBLE_LASTS_MS = 60_000

function countNotices({ name: sink, isStranger }: Pick<Sink, 'name' | 'isStranger'>, tries: Counter, now: Clock): NoticeMetrics {
  const troubles = new Map<string, { reason: string; at: number }>()
  return {
    onOutcome: (outcome, lane, frozen) => {
      if ((outcome.kind === 'blocked' || outcome.kind === 'again') && isStranger?.(lane) !== true) troubles.set(lane, { reason: outcome.reason, at: now() })
      else troubles.delete(lane)
      tries.inc({ sink, kind: frozen?.notice.kind ?? 'none', outcome: outcome.kind })
    },
    check: () => {
      for (const [lane, { at }] of troubles) if (now() - at > TROUBLE_LASTS_MS) troubles.delete(lane)
      const [first] = troubles.values()
      return { name: sink, ok: first === undefined, detail: first?.reason ?? 'takes notices' }
    },
  }
}

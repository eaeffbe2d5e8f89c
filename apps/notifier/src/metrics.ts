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

type Sizes = Awaited<ReturnType<Outbox['sizes']>>

/** Counts what became of notices, and shows how many wait, for each sink that was asked for. */
export function createNoticeMetrics(registry: Registry, { redis, deployment, now }: { redis: Redis; deployment: string; now: Clock }): { of(sink: Pick<Sink, 'name' | 'isStranger'>): NoticeMetrics } {
  const tries = new Counter({ name: 'longshore_notice_tries_total', help: 'Tries to post a notice, by what became of them.', labelNames: ['sink', 'kind', 'outcome'], registers: [registry] })
  const outboxes = new Map<string, Pick<Outbox, 'sizes'>>()
  // Each asks for itself: a registry reads all of them at once, so that what one sets the other may show a scrape later.
  const gauge = (name: string, help: string, value: (sizes: Sizes) => number) => new Gauge({
    name, help, labelNames: ['sink'], registers: [registry],
    async collect() {
      for (const [sink, outbox] of outboxes) {
        const sizes = await outbox.sizes().catch(() => undefined)
        if (sizes !== undefined) this.set({ sink }, value(sizes))
      }
    },
  })
  gauge('longshore_notices_waiting', 'Notices in the outbox.', ({ waiting }) => waiting)
  gauge('longshore_notices_dead', 'Notices that the sink refused for good.', ({ dead }) => dead)
  gauge('longshore_notices_oldest_seconds', 'For how long the oldest notice in the outbox has waited.', ({ oldestAgeMs }) => oldestAgeMs / 1_000)
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

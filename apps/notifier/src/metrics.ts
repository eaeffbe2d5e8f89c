import type { Redis } from 'ioredis'
import { Counter, Gauge, type Registry } from 'prom-client'

import type { Check } from '@longshore/runtime'
import type { Frozen } from './outbox/frozen.ts'
import { createOutbox, type Outbox } from './outbox/outbox.ts'
import { sinkPrefix } from './notifier.ts'
import type { Outcome } from './sink.ts'

export interface NoticeMetrics {
  onOutcome(outcome: Outcome, frozen: Frozen | undefined): void
  /** For `/ready`: whether the sink took the last thing it was given. */
  check(): Check
}

/** Counts what became of notices, and shows how many wait, for each sink that was asked for. */
export function createNoticeMetrics(registry: Registry, { redis, deployment }: { redis: Redis; deployment: string }): { of(sink: string): NoticeMetrics } {
  const tries = new Counter({ name: 'longshore_notice_tries_total', help: 'Tries to post a notice, by what became of them.', labelNames: ['sink', 'kind', 'outcome'], registers: [registry] })
  const waiting = new Gauge({ name: 'longshore_notices_waiting', help: 'Notices in the outbox.', labelNames: ['sink'], registers: [registry], collect: () => collect() })
  const dead = new Gauge({ name: 'longshore_notices_dead', help: 'Notices that the sink refused for good.', labelNames: ['sink'], registers: [registry] })
  const outboxes = new Map<string, Pick<Outbox, 'sizes'>>()
  const collect = async () => {
    for (const [sink, outbox] of outboxes) {
      const sizes = await outbox.sizes().catch(() => undefined)
      if (sizes === undefined) return
      waiting.set({ sink }, sizes.waiting)
      dead.set({ sink }, sizes.dead)
    }
  }
  return {
    of: (sink) => {
      outboxes.set(sink, createOutbox(redis, sinkPrefix(deployment, sink), 0))
      return countNotices(sink, tries)
    },
  }
}

function countNotices(sink: string, tries: Counter): NoticeMetrics {
  let last: Outcome = { kind: 'sent' }
  return {
    onOutcome: (outcome, frozen) => {
      last = outcome
      tries.inc({ sink, kind: frozen?.notice.kind ?? 'none', outcome: outcome.kind })
    },
    check: () => ({ name: sink, ok: last.kind !== 'blocked' && last.kind !== 'again', detail: 'reason' in last ? last.reason : 'takes notices' }),
  }
}

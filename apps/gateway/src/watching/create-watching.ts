import type { Log } from '@longshore/contracts'
import type { Doorbell, Ledger } from '@longshore/ledger'
import type { Settings } from '@longshore/runtime'
import { Gauge, type Registry } from 'prom-client'

import { createFeeds } from './feed.ts'
import { createHub } from './hub.ts'
import type { LiveDeps } from './serve-live.ts'
import { readFleetPage } from './fleet-pages.ts'
import { readTaskPage } from './task-pages.ts'

export interface WatchingOptions {
  settings: Pick<Settings, 'EVENTS_HEARTBEAT_MS' | 'EVENTS_STALL_MS' | 'EVENTS_POLL_MS' | 'EVENTS_MAX_STREAMS' | 'EVENTS_MAX_STREAMS_PER_AGENT'>
  ledger: Pick<Ledger, 'read' | 'readFleetEvents'>
  doorbell: Pick<Doorbell, 'listen'>
  registry: Registry
  log: Log
}

/** What serves everybody who follows a log through this gateway. */
export function createWatching({ settings, ledger, doorbell, registry, log }: WatchingOptions): LiveDeps {
  const hub = createHub({ maxPerAgent: settings.EVENTS_MAX_STREAMS_PER_AGENT, max: settings.EVENTS_MAX_STREAMS, heartbeatMs: settings.EVENTS_HEARTBEAT_MS, log })
  const open = new Gauge({
    name: 'longshore_event_streams', help: 'Connections that follow a log, by what they follow', labelNames: ['kind'], registers: [registry],
    collect() {
      for (const [kind, count] of Object.entries(hub.counts())) this.set({ kind }, count)
    },
  })
  open.reset()
  const read = (topic: string, cursor: string) => (topic === 'fleet' ? readFleetPage(ledger, cursor) : readTaskPage(ledger, topic, cursor))
  return { hub, join: createFeeds({ doorbell, read, pollMs: settings.EVENTS_POLL_MS }), stallMs: settings.EVENTS_STALL_MS, random: Math.random, log }
}

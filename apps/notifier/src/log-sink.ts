import { isOver, type Clock, type Log } from '@longshore/contracts'
import { draftNotices } from './draft-notices.ts'
import { letterId } from './notice.ts'
import type { Sink } from './sink.ts'

/** One readable line per notice, for deployments without Matrix. */
export function createLogSink(log: Log, now: Clock): Sink {
  const told = new Map<string, string>()
  return {
    name: 'log',
    draft: draftNotices,
    laneOf: () => 'log',
    open: () => Promise.resolve({ kind: 'sent' }),
    freeze: (notice) => ({ v: 1, notice, txn: letterId(notice), place: 'log', account: 'log', content: {}, frozen_at: now() }),
    send: ({ notice }) => {
      if (notice.kind === 'reply') return Promise.resolve({ kind: 'sent' })
      // A running task's card changes with each step: only a change of state is worth a line.
      const isNews = notice.kind === 'completion' || (told.get(notice.task_id) !== notice.status && !isOver(notice.status))
      if (isOver(notice.status)) told.delete(notice.task_id)
      else told.set(notice.task_id, notice.status)
      if (isNews) log.info({ task: notice.task_id, status: notice.status, kind: notice.kind }, notice.plain.replaceAll('\n', ' | '))
      return Promise.resolve(notice.kind === 'card' ? { kind: 'sent', receipt: notice.event_id } : { kind: 'sent' })
    },
  }
}

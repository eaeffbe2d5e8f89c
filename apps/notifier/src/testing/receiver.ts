import { SILENT, type Task } from '@longshore/contracts'
import { createDoorbell } from '@longshore/ledger'
import { connectRedis } from '@longshore/runtime'
import { draftNotices } from '../draft-notices.ts'
import { type Letter, letterId } from '../notice.ts'
import { type Notifier, startNotifier } from '../notifier.ts'
import type { Outcome, Sink } from '../sink.ts'
import type { Harbour } from './harbour.ts'
import { ends } from './world.ts'

/** A receiver of notices inside the test: what each notifier gave it, and a say in what becomes of it. */
export interface Receiver {
  got: { by: string; lane: string; letter: Letter; isEdit: boolean }[]
  /** What it answers; by default it takes everything. */
  answer: (letter: Letter, lane: string) => Outcome | Promise<Outcome>
  notifier(name: string): Notifier
}

/** One lane per agent, and one account for all of them. */
export function createReceiver(harbour: Harbour, redisUrl: string, lanesAtOnce = 64): Receiver {
  const receiver: Omit<Receiver, 'notifier'> = { got: [], answer: () => ({ kind: 'sent' }) }
  const sinkOf = (by: string): Sink => ({
    name: 'test',
    lanesAtOnce,
    draft: draftNotices,
    laneOf: (letter) => (letter.kind === 'reply' ? letter.room : letter.agent_id ?? ''),
    accountOf: () => 'one',
    open: () => Promise.resolve({ kind: 'sent' }),
    freeze: (notice, { posted }) => ({ v: 1, notice, txn: letterId(notice), place: posted === undefined ? 'post' : 'edit', account: 'one', content: {}, frozen_at: Date.now() }),
    async send({ notice, place }) {
      const lane = notice.kind === 'reply' ? notice.room : notice.agent_id ?? ''
      const outcome = await receiver.answer(notice, lane)
      if (outcome.kind !== 'sent') return outcome
      receiver.got.push({ by, lane, letter: notice, isEdit: place === 'edit' })
      return { kind: 'sent', receipt: `r-${receiver.got.length}` }
    },
  })
  return Object.assign(receiver, {
    notifier: (name: string) => {
      const [redis, bells] = [connectRedis(redisUrl, 'background', SILENT), connectRedis(redisUrl, 'background', SILENT)]
      const doorbell = createDoorbell(bells, harbour.deployment)
      ends({ stop: () => Promise.resolve([redis, bells].forEach((one) => one.disconnect())) })
      const { deployment, ledger } = harbour
      return ends(startNotifier({ redis, deployment, ledger, doorbell, sink: sinkOf(name), log: SILENT, now: Date.now, random: () => 0, onOutcome: () => undefined }))
    },
  })
}

export const kindsOf = (receiver: Receiver, task?: Task): string[] =>
  receiver.got.filter(({ letter }) => task === undefined || (letter.kind !== 'reply' && letter.task_id === task.id)).map(({ letter, isEdit }) => (isEdit ? `${letter.kind} edit` : letter.kind))

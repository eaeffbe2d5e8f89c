import { expect, test } from 'vitest'

import { SILENT } from '@longshore/contracts'
import type { KeptFiles } from '../kept-files.ts'
import type { Notice } from '../notice.ts'
import { aTask } from '../testing/samples.ts'
import type { MatrixClient } from './client.ts'
import { MatrixError } from './matrix-error.ts'
import { createMatrixSink } from './matrix-sink.ts'

const BOT = '@longshore:x'
const NO_RECEIPTS = { root: undefined, posted: undefined }
const refused = (status: number) => Promise.reject(new MatrixError(`${status}`, { status, errcode: 'M_FORBIDDEN' }))

function aSink(more: Partial<MatrixClient>, files?: KeptFiles) {
  const client: MatrixClient = {
    whoami: () => Promise.resolve({ user_id: BOT, device_id: 'D' }), resolveAlias: (alias) => Promise.resolve(`!${alias}`), roomMaker: () => Promise.resolve(BOT), roomState: () => Promise.resolve(undefined), member: () => Promise.resolve(undefined),
    send: () => Promise.resolve('$sent'), createRoom: () => refused(500), join: (room) => Promise.resolve(room), invite: () => Promise.resolve(), kick: () => Promise.resolve(), setState: () => Promise.resolve(),
    upload: () => Promise.resolve('mxc://x/y'), messages: () => Promise.resolve({ chunk: [] }), sync: () => refused(500), ...more,
  }
  return createMatrixSink({ client, plan: { per: 'agent', given: undefined, deployment: 'd', botId: BOT, observers: [], speakers: [], answerers: [] }, files, log: SILENT, now: Date.now })
}
const notice = (agent_id: string, more: Partial<Notice> = {}): Notice => ({ v: 1, kind: 'completion', task_id: aTask().id, agent_id, event_id: '01HZZZZZZZZZZZZZZZZZZZZZZZ', seq: 3, status: 'completed', plain: 'done', html: 'done', observers: [], ...more })

test('G8: that one lane cannot be opened loses nothing of a lane that is opened at the same time', async () => {
  const isSlow = Promise.withResolvers<undefined>()
  const sink = aSink({ roomMaker: (room) => (room.includes('agent-eve') ? Promise.resolve('@eve:x') : isSlow.promise.then(() => BOT)) })
  const [mine, hers] = [notice('agent-a'), notice('agent-eve')]
  const opening = sink.open(sink.laneOf(mine), mine)
  expect(await sink.open(sink.laneOf(hers), hers)).toMatchObject({ kind: 'blocked' })
  isSlow.resolve(undefined)
  expect(await opening).toEqual({ kind: 'sent' })
  const frozen = sink.freeze(mine, NO_RECEIPTS)
  expect(frozen.account).toBe(`${BOT} D`)
  // The same one, tried again by a notifier whose other lane has just failed.
  const again = sink.open(sink.laneOf(mine), mine)
  await sink.open(sink.laneOf(hers), hers)
  expect(await again).toEqual({ kind: 'sent' })
  expect(await sink.send(frozen, true)).toMatchObject({ kind: 'sent' })
})

test.each([403, 404])('a homeserver that answers %i to a file takes the rest of the room all the same', async (status) => {
  const file = { kind: 'file' as const, name: 'a.patch', mimetype: 'text/x-patch', bytes: Buffer.from('x'), note: undefined }
  const sink = aSink({ upload: () => refused(status) }, { read: () => Promise.resolve(file) })
  const letter = notice('agent-a', { kind: 'file', file: 'diff' })
  await sink.open(sink.laneOf(letter), letter)
  expect(await sink.send(sink.freeze(letter, NO_RECEIPTS), false)).toMatchObject({ kind: 'refused' })
})

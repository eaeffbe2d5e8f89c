import { TaskFailure } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { describe, expect, test } from 'vitest'
import { createEnding, type Ending } from './ending.ts'
import type { Message } from './message.ts'
import { createSteering, type Steering, type SteeringOptions, type Told } from './steer.ts'

const PROMPT = 'msg_000000000001'
const X = { id: 'x', text: 'something' }

/** A server that does with each message what the test says, and a worker that remembers. */
function world(take: (store: () => void) => Promise<void>, more: Partial<SteeringOptions> = {}): { steering: Steering; ending: Ending; sent: string[]; kept: Told[]; has: Set<string>; clock: { now: number } } {
  const [sent, kept, has, clock]: [string[], Told[], Set<string>, { now: number }] = [[], [], new Set([PROMPT]), { now: 0 }]
  const ending = createEnding(() => clock.now, () => {})
  const message = (id: string): Message => ({ info: { id, role: 'user', time: {} }, parts: [] })
  const steering = createSteering({
    api: {
      has: (_session, id) => Promise.resolve(has.has(id)),
      messages: () => Promise.resolve([...has].map(message)),
      prompt: (_session, id) => {
        sent.push(id)
        return take(() => has.add(id))
      },
    },
    sessionId: 'ses_1', prompt: PROMPT, told: undefined,
    keep: (told) => Promise.resolve(void kept.push(told)),
    run: { confirmClaim: () => Promise.resolve(), signal: new AbortController().signal },
    ending, now: () => clock.now,
    ...more,
  })
  return { steering, ending, sent, kept, has, clock }
}
const takes = (store: () => void): Promise<void> => Promise.resolve(store())
const noAnswer = (): Promise<never> => Promise.reject(new Error('connection reset'))
const refuses = (status: number) => (): Promise<never> => Promise.reject(new Error('refused', { cause: { status } }))

/** The server says yes, time goes by, and the message is not there. */
const takesAndHides = (_store: () => void, later: () => void): Promise<void> => {
  setTimeout(later, 50)
  return Promise.resolve()
}

describe('telling', () => {
  test('stores nothing for an owner that has let go: its mark in the handle stays', async () => {
    const letGo = new AbortController()
    const { steering, kept, sent } = world(takes, { run: { confirmClaim: () => Promise.resolve(), signal: letGo.signal } })
    const told = steering.tell(X)
    letGo.abort(new Error('let go'))
    await expect(told).rejects.toThrow('let go')
    expect([kept, sent]).toEqual([[], []])
  })

  test('keeps the ids before it sends, and sends once', async () => {
    const { steering, sent, kept } = world(takes)
    expect(await steering.tell(X)).toBe('delivered')
    expect(await steering.tell(X)).toBe('delivered')
    expect(sent).toEqual(kept.map(({ message }) => message))
    expect(sent).toHaveLength(1)
    expect(kept[0]?.id).toBe('x')
  })

  test('sends nothing when the ids could not be kept, or another owns the task', async () => {
    const lost = (): Promise<never> => Promise.reject(new Error('the claim is lost'))
    for (const more of [{ keep: lost }, { run: { confirmClaim: lost, signal: new AbortController().signal } }]) {
      const { steering, ending, sent } = world(takes, more)
      await expect(steering.tell(X)).rejects.toThrow('the claim is lost')
      expect(sent).toEqual([])
      expect(ending.mayEnd(ending.version())).toBe(true)
    }
  })

  test('again after there was no answer uses the same ids, by whoever comes next', async () => {
    const first = world(noAnswer)
    await expect(first.steering.tell(X)).rejects.toThrow(TaskFailure)
    const next = world(takes, { told: first.kept[0] })
    expect(await next.steering.tell(X)).toBe('delivered')
    expect(next.sent).toEqual(first.sent)
    expect(next.kept).toEqual([])
  })

  test('after the end sends nothing, and knows what had arrived', async () => {
    const { steering, ending, sent } = world(takes)
    await steering.tell(X)
    expect(ending.mayEnd(ending.version())).toBe(true)
    expect(await steering.tell({ id: 'y', text: 'too late' })).toBe('over')
    expect(await steering.tell(X)).toBe('delivered')
    expect(sent).toHaveLength(1)
  })

  test('that is overtaken by the end while it keeps its ids sends nothing', async () => {
    const { steering, ending, sent } = world(takes, { keep: () => Promise.resolve(ending.end()) })
    expect(await steering.tell(X)).toBe('over')
    expect(sent).toEqual([])
  })
})

describe('the end', () => {
  test.each([['never shows', takesAndHides], ['answers 503 to', refuses(503)]])('does not wait for ever for a message that the server %s, however often it is told again', async (_, take) => {
    const { steering, ending, clock } = world((store) => take(store, () => (clock.now += 11_000)))
    await expect(steering.tell(X)).rejects.toThrow(TaskFailure)
    expect(ending.mayEnd(ending.version())).toBe(false)
    for (let tries = 0; tries < 3; tries++) {
      clock.now += 11_000
      await expect(steering.tell(X)).rejects.toThrow(TaskFailure)
    }
    expect(ending.mayEnd(ending.version())).toBe(true)
  })

  test('is not decided by a look from before or during the telling', async () => {
    const arrive = Promise.withResolvers<void>()
    const { steering, ending, sent } = world((store) => arrive.promise.then(store))
    const before = ending.version()
    const told = steering.tell(X)
    await waitFor(() => sent.length > 0, { what: 'the message to be sent' })
    const during = ending.version()
    expect([ending.mayEnd(before), ending.mayEnd(during)]).toEqual([false, false])
    arrive.resolve()
    expect(await told).toBe('delivered')
    expect([ending.mayEnd(before), ending.mayEnd(during), ending.mayEnd(ending.version())]).toEqual([false, false, true])
  })

  test('waits for what was sent without an answer, and not for ever', async () => {
    for (const send of [noAnswer, refuses(502)]) {
      const { steering, ending, clock } = world(send)
      await expect(steering.tell(X)).rejects.toThrow(TaskFailure)
      expect(ending.mayEnd(ending.version())).toBe(false)
      clock.now = 60_000
      expect(ending.mayEnd(ending.version())).toBe(true)
    }
  })

  test('waits no longer when a look shows the message; that look was too early itself', async () => {
    const { steering, ending, sent } = world(noAnswer)
    await expect(steering.tell(X)).rejects.toThrow(TaskFailure)
    const version = ending.version()
    ending.see([{ info: { id: String(sent[0]), role: 'user', time: {} }, parts: [] }])
    expect([ending.mayEnd(version), ending.mayEnd(ending.version())]).toEqual([false, true])
  })

  test('does not wait for what the server refused', async () => {
    const { steering, ending } = world(refuses(400))
    await expect(steering.tell(X)).rejects.toThrow(TaskFailure)
    expect(ending.mayEnd(ending.version())).toBe(true)
  })
})

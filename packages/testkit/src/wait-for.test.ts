import { expect, test } from 'vitest'
import { waitFor } from './wait-for.ts'

test('the first truthy answer ends the wait', async () => {
  let asked = 0
  const answer = await waitFor(() => (++asked === 3 ? `asked ${asked} times` : ''), { what: 'the third answer', everyMs: 1 })
  expect(answer).toBe('asked 3 times')
})

test('a condition that throws is asked again', async () => {
  let asked = 0
  const answer = await waitFor(
    () => {
      if (++asked < 3) throw new Error('not yet')
      return asked
    },
    { what: 'no error', everyMs: 1 },
  )
  expect(answer).toBe(3)
})

test('giving up names what was awaited and the last answer', async () => {
  const wait = waitFor(() => 0, { what: 'one worker', timeoutMs: 5, everyMs: 1 })
  await expect(wait).rejects.toThrow('waited 5 ms in vain for one worker; last answer: 0')
})

test('giving up keeps the last error', async () => {
  const wait = waitFor(() => Promise.reject(new Error('refused')), { what: 'a server', timeoutMs: 5, everyMs: 1 })
  await expect(wait).rejects.toThrow('for a server; last error: Error: refused')
})

import { describe, expect, test } from 'vitest'

import { admits, afterNews, breakerReason, type BreakerState, closedBreaker, type PlaceNews } from './breaker.ts'

const SETTINGS = { failures: 3, openMs: 1_000 }
const failed: PlaceNews = { kind: 'failed', failure: { code: 'backend_unavailable', message: 'no engine' } }
const [begun, done]: PlaceNews[] = [{ kind: 'begun' }, { kind: 'done' }]

/** News at times, from a closed breaker. */
function after(...news: [number, PlaceNews | undefined][]): BreakerState {
  return news.reduce((state, [at, what]) => (what === undefined ? state : afterNews(state, what, at, SETTINGS)), closedBreaker(SETTINGS))
}
const thrice: [number, PlaceNews][] = [[0, failed], [1, failed], [2, failed]]

describe('a breaker', () => {
  test('opens after so many failures in a row, for its time, and lets one task through then', () => {
    expect(admits(after([0, failed], [1, failed]), 2)).toBe(true)
    const open = after(...thrice)
    expect([admits(open, 3), admits(open, 1_001), admits(open, 1_002), admits(open, 99_999)]).toEqual([false, false, 'one', 'one'])
  })

  test('forgets failures when a run ends there, not when one starts', () => {
    expect(admits(after([0, failed], [1, failed], [2, done], [3, failed], [4, failed]), 5)).toBe(true)
    expect(admits(after([0, failed], [1, failed], [2, begun], [3, failed]), 5)).toBe(false)
  })

  test('waits twice as long after each failed try, ten times as long at most', () => {
    let state = after(...thrice)
    const waits: number[] = []
    for (let now = 1_002; waits.length < 6; now = state.kind === 'open' ? state.until : now) {
      state = afterNews(state, failed, now, SETTINGS)
      waits.push(state.kind === 'open' ? state.until - now : 0)
    }
    expect(waits).toEqual([2_000, 4_000, 8_000, 10_000, 10_000, 10_000])
  })

  test('closes when the try begins, and opens again at the next failure, for longer', () => {
    const tried = after(...thrice, [1_500, begun])
    expect(admits(tried, 1_500)).toBe(true)
    const again = afterNews(tried, failed, 1_600, SETTINGS)
    expect(again).toMatchObject({ kind: 'open', until: 3_600 })
    expect(afterNews(tried, done as PlaceNews, 1_600, SETTINGS)).toEqual(closedBreaker(SETTINGS))
  })

  test('takes what ran before it opened neither for another outage nor for a cure', () => {
    const open = after(...thrice)
    expect(afterNews(open, failed, 500, SETTINGS)).toMatchObject({ until: 1_002, openMs: 2_000 })
    expect(afterNews(open, done as PlaceNews, 500, SETTINGS)).toBe(open)
    expect(afterNews(open, begun as PlaceNews, 500, SETTINGS)).toBe(open)
  })

  test('says why it is open and when it tries', () => {
    const open = after(...thrice)
    expect(breakerReason(open, 2)).toBe('the breaker is open after 3 failures of its place in a row (last: backend_unavailable: no engine); tries one task in 1 s')
    expect(breakerReason(open, 2_000)).toContain('tries one task now')
    expect(breakerReason(closedBreaker(SETTINGS), 0)).toBeUndefined()
  })
})

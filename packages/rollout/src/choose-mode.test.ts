import { expect, test } from 'vitest'

import { chooseMode, type RolloutPolicy } from './choose-mode.ts'

const KEYS = Array.from({ length: 10_000 }, (_, i) => `agent-${i}`)

const policyOf = (opencode_percent: number, salt = 'a salt'): RolloutPolicy => ({ v: 1, opencode_percent, salt, updated_at: 0, updated_by: 'test' })
const inOpencode = (policy: RolloutPolicy) => KEYS.filter((stickyKey) => chooseMode({ policy, stickyKey }) === 'opencode')

test.each([1, 5, 10, 33.3, 50, 75, 99])('over 10,000 keys %d percent is met within 1.5 points', (percent) => {
  for (const salt of ['a salt', 'another', 'third']) {
    expect(Math.abs(inOpencode(policyOf(percent, salt)).length / 100 - percent)).toBeLessThanOrEqual(1.5)
  }
})

test('0 sends nobody and 100 everybody to opencode', () => {
  expect(inOpencode(policyOf(0))).toHaveLength(0)
  expect(inOpencode(policyOf(100))).toHaveLength(KEYS.length)
})

test('raising the share never moves a key back', () => {
  let before = new Set<string>()
  for (let percent = 0; percent <= 100; percent += 1) {
    const now = new Set(inOpencode(policyOf(percent)))
    expect([...before].filter((key) => !now.has(key))).toEqual([])
    before = now
  }
})

test('another salt is another split', () => {
  expect(inOpencode(policyOf(50, 'one'))).not.toEqual(inOpencode(policyOf(50, 'two')))
})

test('a thousandth of a percent is not lost to rounding', () => {
  const many = Array.from({ length: 400_000 }, (_, i) => `key-${i}`)
  const hit = many.filter((stickyKey) => chooseMode({ policy: policyOf(0.01), stickyKey }) === 'opencode')
  expect(hit.length).toBeGreaterThan(10)
  expect(hit.length).toBeLessThan(90)
})

test('an explicit mode wins', () => {
  expect(chooseMode({ policy: policyOf(100), stickyKey: 'a', explicit: 'docker' })).toBe('docker')
  expect(chooseMode({ policy: policyOf(0), stickyKey: 'a', explicit: 'opencode' })).toBe('opencode')
})

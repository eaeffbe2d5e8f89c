import { expect, test } from 'vitest'
import { describeNeeding } from './describe-needing.ts'

describeNeeding('docker', 'a suite with containers', () => {
  test('runs', () => expect(1).toBe(1))
})

describeNeeding(['opencode', 'docker'], 'a suite with both', () => {
  test('runs', () => expect(1).toBe(1))
})

describeNeeding([], 'a suite without needs', () => {
  test('runs', () => expect(1).toBe(1))
})

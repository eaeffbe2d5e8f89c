import { sharedRedisUrl } from '@longshore/testkit'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { outgrows } from '@longshore/backends'

import { startStack, type TestStack } from './testing/stack.ts'

let stack: TestStack
beforeEach(async () => {
  stack = await startStack(sharedRedisUrl())
})
afterEach(() => stack.stop())

test('a task whose workspace outgrows its limits ends as failed, is not tried again, and says which limit it was', async () => {
  const limits = { bytes: 10_000_000, files: 50 }
  await stack.worker({ sizeEveryMs: 50, outgrown: (id, signal) => outgrows(join(stack.root, `${id}-1`), limits, signal) })
  const small = await stack.submit('echo small; sleep 0.5')
  const many = await stack.submit('echo begun; i=0; while :; do i=$((i+1)); : > f$i; sleep 0.005; done')
  expect(await stack.until(many.id, 'failed')).toMatchObject({ attempt: 1, result: { output: 'begun\n' }, failure: { code: 'workspace', message: 'the task\'s workspace holds more than 50 files and folders (WORKSPACE_MAX_FILES)' } })
  expect(await stack.until(small.id, 'completed')).toMatchObject({ result: { output: 'small\n' } })
})

test('where the size cannot be known, the task goes on', async () => {
  await stack.worker({ sizeEveryMs: 10, outgrown: () => Promise.reject(new Error('nobody can count this')) })
  const task = await stack.submit('echo begun; sleep 0.5')
  expect(await stack.untilOver(task.id)).toMatchObject({ state: 'completed' })
})

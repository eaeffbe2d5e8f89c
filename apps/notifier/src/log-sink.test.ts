import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

import { createHarbour } from './testing/harbour.ts'
import { startNotifierProcess } from './testing/notifier-process.ts'
import { ends } from './testing/world.ts'

const linesOf = (output: string) => output.split('\n').filter((line) => line.includes('"kind"')).map((line) => JSON.parse(line) as { task: string; status: string; kind: string; msg: string })

test('without Matrix each change of state is one readable line, and another notifier repeats none', async () => {
  const harbour = createHarbour(sharedRedisUrl())
  ends({ stop: () => Promise.resolve(harbour.redis.disconnect()) })
  const env = { REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: harbour.deployment }
  const notifier = ends(await startNotifierProcess(env))
  const task = await harbour.start()
  await waitFor(() => linesOf(notifier.output()).length > 0, { what: 'the first line' })
  await harbour.fail(task, { code: 'image_missing', message: 'no such image: x\ny' })
  await waitFor(() => linesOf(notifier.output()).some((line) => line.kind === 'completion'), { what: 'the last line' })
  const last = linesOf(notifier.output()).filter((line) => line.kind === 'completion')
  expect(last).toHaveLength(1)
  expect(last[0]).toMatchObject({ task: task.id, status: 'failed' })
  expect(last[0]?.msg).toMatch(/^❌ Failed · Mend the crane \| .* \| image_missing: no such image: x y \| What to do: The runner image/)
  await waitFor(async () => (await harbour.outbox('log')).waiting === 0, { what: 'an empty outbox' })
  await notifier.stop()

  const next = ends(await startNotifierProcess(env))
  const other = await harbour.submit()
  await waitFor(() => linesOf(next.output()).length > 0, { what: 'a line of the next task' })
  expect(linesOf(next.output()).map((line) => line.task)).toEqual([other.id])
})

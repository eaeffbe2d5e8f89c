import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { MODES, TaskId } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engineIfHere, NEEDS, showLogsOfFailures, type Stack, startStack } from './harness/index.ts'

/** One for each way by which the worker's environment reaches an agent, or must not. */
const PLANTED = {
  SERVICE_TOKEN: 'planted-in-runner-env-4711', CHOSEN_TOKEN: 'planted-for-a-choice-4711', OPENAI_API_KEY: 'planted-providers-key-4711', MATRIX_ACCESS_TOKEN: 'planted-matrix-token-4711', OPENCODE_SERVER_PASSWORD: 'planted-password-4711',
}
const TASK_ENV_NAMES = 'CHOSEN_TOKEN'
/** All that an agent can see of its environment, said, put out by a tool, asked about, complained of and given to a file as its name. */
const LOOK = 'env; cat /proc/self/environ | tr "\\0" "\\n"; echo "$SERVICE_TOKEN $CHOSEN_TOKEN" >&2; touch "named-$SERVICE_TOKEN"; echo "said: $SERVICE_TOKEN, key: $OPENAI_API_KEY"'
const leaks = (text: string): string[] => Object.values(PLANTED).filter((secret) => text.includes(secret))

/** Every value in a Redis, whatever its type. */
async function everythingIn(url: string): Promise<string> {
  const redis = new Redis(url)
  try {
    const said: string[] = []
    for (const key of await redis.keys('*')) {
      const read = { string: () => redis.get(key), hash: () => redis.hgetall(key), list: () => redis.lrange(key, 0, -1), set: () => redis.smembers(key), zset: () => redis.zrange(key, 0, '-1'), stream: () => redis.xrange(key, '-', '+') }[await redis.type(key)]
      said.push(key, JSON.stringify(await read?.()))
    }
    return said.join('\n')
  } finally {
    redis.disconnect()
  }
}

describe.each(MODES)('secrets planted in the environment of a worker', (mode) => {
  describeNeeding(NEEDS[mode], `${mode} mode`, () => {
    describe('are looked for', { timeout: 300_000 }, () => {
      let stack: Stack
      beforeAll(async () => {
        stack = await startStack({ workers: 0, env: { TASK_ENV_NAMES }, ...(mode === 'docker' ? { engine: await engineIfHere() } : {}) })
        await stack.add('worker', { ...PLANTED, RUNNER_ENV: 'SERVICE_TOKEN,OPENAI_API_KEY', WORKER_MODES: mode })
      })
      afterAll(() => stack.stop())
      showLogsOfFailures(() => stack)

      test('G14: in no event, answer, error, log, metric, record or name of an artifact is any of them', async () => {
        const asked = { mode, timeout_ms: 120_000, env: [TASK_ENV_NAMES] }
        const one = await stack.alice.submit(`[[write look.sh|${LOOK}]] [[bash sh look.sh]] [[say done]]`, asked)
        const two = await stack.alice.submit(`[[write look.sh|${LOOK}; exit 3]] [[bash sh look.sh]] [[status 400]]`, asked)
        await stack.alice.untilCompleted(one.task_id)
        expect((await stack.alice.untilOver(two.task_id)).status).toBe('failed')
        await waitFor(async () => (await stack.ledger.get(TaskId.parse(one.task_id)))?.kept, { what: 'what it left to be kept', timeoutMs: 60_000 })
        const answers: string[] = []
        for (const { task_id: id } of [one, two]) {
          // Not the files: their names and contents are the agent's, and its owner reads them as they are.
          for (const what of ['', '/history', '/output']) answers.push(await (await stack.alice.fetch(`/api/tasks/${id}${what}`)).text())
          answers.push(JSON.stringify(await stack.mcp('a 1.x client').events(id)))
        }
        expect(answers.join('\n').includes('said: [redacted]')).toBe(true) // it did look, and was heard
        expect(leaks(answers.join('\n'))).toEqual([])
        const urls = [...stack.apps('worker'), ...stack.apps('gateway')].map(({ url }) => url)
        expect(leaks((await Promise.all(urls.flatMap((url) => ['metrics', 'health', 'ready'].map(async (door) => (await fetch(`${url}/${door}`)).text())))).join('\n'))).toEqual([])
        expect(leaks([...stack.apps('worker'), ...stack.apps('gateway')].map((app) => app.output()).join('\n'))).toEqual([])
        expect(leaks(await everythingIn(stack.redis.url))).toEqual([])
        expect(leaks((await readdir(join(stack.workspaces, '../blobs'), { recursive: true })).join('\n'))).toEqual([])
      })
    })
  })
})

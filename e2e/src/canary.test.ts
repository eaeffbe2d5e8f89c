import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { waitFor } from '@longshore/testkit'
import { refusal, showLogsOfFailures, type Stack, startStack, type TaskAnswer } from './harness/index.ts'

const AGENTS = Array.from({ length: 200 }, (_, index) => `agent-${index}`)

describe('the canary, with two gateways', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ gateways: 2, workers: 0, env: { CANARY_OPENCODE_PERCENT: '10' } })
  })
  afterAll(() => stack.stop())
  showLogsOfFailures(() => stack)

  const setShare = async (opencode_percent: number): Promise<void> => {
    const answer = await stack.operator.fetch('/api/rollout', { method: 'PUT', body: { opencode_percent } })
    expect(answer.status).toBe(200)
    // Each gateway sees the new policy within a second: asked in turn, both must say so twice.
    const seen = async (): Promise<boolean> => (await Promise.all(Array.from({ length: 4 }, async () => (await (await stack.operator.fetch('/api/rollout')).json() as { opencode_percent: number }).opencode_percent)))
      .every((share) => share === opencode_percent)
    await waitFor(seen, { what: `both gateways to see ${opencode_percent} %` })
  }
  const submitAll = (): Promise<TaskAnswer[]> => Promise.all(AGENTS.map((agent_id) => stack.operator.submit('canary', { agent_id })))
  const inOpencode = (tasks: readonly TaskAnswer[]): string[] => tasks.filter(({ mode }) => mode === 'opencode').map(({ agent_id }) => agent_id)

  test('the start value splits, a change while running moves new tasks only, and raising the share moves no agent back', async () => {
    const first = await submitAll()
    const early = inOpencode(first)
    expect(early.length).toBeGreaterThan(4)
    expect(early.length).toBeLessThan(40)

    await setShare(60)
    const late = inOpencode(await submitAll())
    expect(late.length).toBeGreaterThan(early.length)
    expect(late).toEqual(expect.arrayContaining(early))
    const stamped = await Promise.all(first.map(({ task_id }) => stack.operator.status(task_id)))
    expect(stamped.map(({ mode }) => mode)).toEqual(first.map(({ mode }) => mode))

    await setShare(0)
    expect(inOpencode(await submitAll())).toEqual([])
    await setShare(100)
    expect(inOpencode(await submitAll())).toHaveLength(AGENTS.length)
  })

  test('an explicit mode wins over the share', async () => {
    await setShare(100)
    expect(await stack.alice.submit('as I say', { mode: 'docker' })).toMatchObject({ mode: 'docker' })
  })

  test('the share survives SIGKILL of all processes, and an agent cannot change it', async () => {
    await setShare(37.5)
    await Promise.all([stack.redis.kill9(), stack.endApps('SIGKILL')])
    await stack.redis.restart()
    await stack.add('gateway')
    expect(await (await stack.operator.fetch('/api/rollout')).json()).toMatchObject({ opencode_percent: 37.5 })
    const asAlice = await stack.alice.fetch('/api/rollout', { method: 'PUT', body: { opencode_percent: 1 } })
    expect(asAlice.status).toBe(403)
    expect((await refusal(stack.alice.submit('for another', { agent_id: 'agent-bob' }))).code).toBe('forbidden')
  })
})

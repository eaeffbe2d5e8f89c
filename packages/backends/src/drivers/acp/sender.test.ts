import { afterEach, expect, test, vi } from 'vitest'
import type { AgentPipe } from './pipe.ts'
import { createSender, requestKey } from './sender.ts'

afterEach(() => void vi.restoreAllMocks())

test('an agent whose input breaks whenever it is opened is not asked for ever', async () => {
  const timeout = AbortSignal.timeout.bind(AbortSignal)
  vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => timeout(300)) // 20 s
  let opened = 0
  const input: AgentPipe['input'] = () => {
    opened += 1
    return Promise.resolve({ write: () => {}, broken: Promise.resolve(), close: () => {} })
  }
  const pipe: AgentPipe = { id: 'p', input, output: async function* () {}, ending: () => Promise.resolve(undefined) }
  const sender = createSender(pipe, { signal: new AbortController().signal, confirmClaim: () => Promise.resolve() }, undefined)
  await expect(sender.send(requestKey('initialize'), {})).rejects.toMatchObject({ code: 'backend_unavailable' })
  expect(opened).toBeGreaterThan(1)
})

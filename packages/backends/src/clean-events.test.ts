import type { ExecutionEvent } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { cleanEvents, cleanOutcome } from './clean-events.ts'
import { redactor } from './text.ts'

const clean = redactor(['sk-a-long-secret'])

test('what agents, tools and providers say is cleaned of known secrets', () => {
  const tool = { tool: 'bash', title: 'echo sk-a-long-secret', status: 'completed', input: 'sk-a-long-secret', output: 'sk-a-long-secret' } as const
  expect(JSON.stringify(cleanEvents([{ type: 'task.output', payload: { text: 'it is sk-a-long-secret', stream: 'agent' } }, { type: 'task.tool', payload: tool }], clean))).not.toContain('sk-a-long')
  const failed = { kind: 'failed', failure: { code: 'provider_rejected', message: 'incorrect key sk-a-long-secret' } } as const
  expect(cleanOutcome(failed, clean)).toEqual({ kind: 'failed', failure: { code: 'provider_rejected', message: 'incorrect key [redacted]' } })
})

test('G14: a secret that lies across two events of one text is none in either, nor in both together', () => {
  const output = (text: string, stream: 'stdout' | 'stderr' = 'stdout'): ExecutionEvent => ({ type: 'task.output', payload: { text, stream } })
  const cleaned = cleanEvents([output('before sk-a-lo'), output('ng-secret after'), output('apart', 'stderr')], clean)
  expect(cleaned).toEqual([output('before [redacted] after'), output('apart', 'stderr')])
  expect(cleanEvents([output('one'), output('two')], clean)).toEqual([output('one'), output('two')])
})

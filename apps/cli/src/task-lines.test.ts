import { expect, test } from 'vitest'

import { eventLine, showTask, showTasks } from './task-lines.ts'
import { createTerminal } from './terminal.ts'

const EVIL = 'a\u001B]0;owned\u0007\u001B[2J\r\nb\u0085\u009B31m\u202Egpj.exe<script>alert(1)</script>'
/** What a terminal would obey, line ends apart. */
// oxlint-disable-next-line no-control-regex -- those are meant
const OBEYED = /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/

test('G14: whatever stands in a task or an event moves no cursor and makes no line of its own', () => {
  const said: string[] = []
  const terminal = createTerminal({ write: (text: string) => said.push(text) }, { write: (text: string) => said.push(text) }, false)
  const task = {
    task_id: `task-${'a'.repeat(26)}`, status: 'input_required' as const, title: EVIL, agent_id: 'agent-a', mode: 'docker' as const, attempt: 1, created_at: '2026-11-26T21:00:00.000Z',
    inputs: [{ input_id: 'i', kind: 'question', question: EVIL, choices: [EVIL, EVIL], free_text: true }], sent_files: [{ path: EVIL, size: 1 }], git: { commit: EVIL, branch: EVIL, push_error: EVIL }, error: EVIL, error_code: EVIL, limit: EVIL,
  }
  showTask(task, terminal)
  const lines = said.join('').split('\n').length
  showTasks([task], terminal)
  said.push(`${eventLine({ seq: 1, timestamp: '', type: `task.${EVIL}`, message: EVIL, data: undefined }, terminal.paint)}\n`)
  expect(lines).toBe(13)
  expect(said.join('').split('\n')).toHaveLength(lines + 3)
  expect(said.join('')).toContain('<script>')
  expect(said.join('')).not.toMatch(OBEYED)
  showTask({ ...task, output: `${EVIL}\n${'x'.repeat(10_000_000)}` }, terminal)
  expect(said.join('')).not.toMatch(OBEYED)
  expect(Math.max(...said.map((line) => line.length))).toBeLessThan(2_100)
})

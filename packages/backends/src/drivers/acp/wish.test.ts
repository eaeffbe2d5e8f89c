import type { PermissionPolicy } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { createKnownCalls } from './known-calls.ts'
import { Call, decideWish, wishOf } from './wish.ts'

const wish = (call: object) => wishOf(Call.parse({ toolCallId: 't', ...call }), '/work/repo')
const decided = (policy: PermissionPolicy, call: object) => {
  const { action, tool } = decideWish([policy], wish(call))
  return `${tool} ${action}`
}

test.each([
  ['a command', { kind: 'execute', rawInput: { command: 'cd x && git push' } }, ['bash'], ['cd x', 'git push']],
  ['a script for a shell', { kind: 'execute', rawInput: { command: ['bash', '-lc', 'git push'] } }, ['bash'], ['git push']],
  ['a program and its arguments', { kind: 'execute', rawInput: { command: ['git', 'push'] } }, ['bash'], ['git push']],
  ['a command in the title alone', { kind: 'execute', title: '`git push`' }, ['bash'], ['git push']],
  ['an edit, by its place', { kind: 'edit', rawInput: { filepath: '/elsewhere' }, locations: [{ path: '/work/repo/src/a.ts' }] }, ['edit'], ['src/a.ts']],
  ['an edit that climbs out', { kind: 'edit', rawInput: { file_path: 'src/../../x' } }, ['edit'], ['../x']],
  ['a deletion', { kind: 'delete', rawInput: { path: 'a' } }, ['edit'], ['a']],
  ['an address', { kind: 'fetch', rawInput: { url: 'https://a.example/' } }, ['webfetch'], ['https://a.example/']],
  ['a search', { kind: 'search', title: 'x', rawInput: { pattern: 'x' } }, ['grep', 'glob'], ['x']],
  ['a sub-agent', { kind: 'think', rawInput: { subagent_type: 'general' } }, ['task'], ['general']],
  ['what lies outside, by OpenCode', { kind: 'other', title: 'ls', rawInput: { command: 'ls /etc', directories: ['/etc'], patterns: ['/etc/*'] } }, ['external_directory'], ['/etc/*']],
  ['a file outside, by OpenCode', { kind: 'other', title: '/etc', rawInput: { filepath: '/etc/x', parentDir: '/etc' } }, ['external_directory'], ['/etc/*']],
  ['a search in the web', { kind: 'other', title: 'bash', rawInput: { query: 'bash' } }, ['websearch'], ['bash']],
  ['a tool by its name', { kind: 'other', name: 'mcp__db__drop', title: 'Drop it' }, ['mcp__db__drop'], undefined],
  ['a tool by its title', { title: 'todowrite' }, ['todowrite'], undefined],
  ['nothing', {}, ['other'], undefined],
  ['nonsense', { kind: '__proto__', title: 'a b', rawInput: [7], locations: [] }, ['other'], undefined],
  ['a command that is too long', { kind: 'execute', rawInput: { command: 'x'.repeat(20_000) } }, ['bash'], undefined],
])('what an agent wants, in the words of policies: %s', (_what, call, tools, subjects) => {
  expect(wish(call)).toEqual({ tools, subjects })
})

test('policies decide by tool and subject; of tools that may be meant the strictest counts', () => {
  expect(decided({ bash: { '*': 'allow', 'git push*': 'ask' } }, { kind: 'execute', rawInput: { command: 'ls; git push' } })).toBe('bash ask')
  expect(decided({ edit: { '*': 'deny', 'src/*': 'allow' } }, { kind: 'edit', locations: [{ path: '/work/repo/src/../a' }] })).toBe('edit deny')
  expect(decided({ glob: 'deny' }, { kind: 'search', rawInput: { pattern: 'x' } })).toBe('glob deny')
  expect(decided({ '*': 'ask', todowrite: 'allow' }, { title: 'todowrite' })).toBe('todowrite allow')
})

test('what nobody knows the subject of is decided by no pattern', () => {
  const read = { kind: 'read', rawInput: {} }
  expect([decided({ read: { '*': 'allow', '*.env': 'deny' } }, read), decided({ read: 'allow' }, read), decided({ read: 'deny' }, read)]).toEqual(['read ask', 'read allow', 'read deny'])
})

test('what an agent said of its tool before counts until the tool has ended', () => {
  const calls = createKnownCalls()
  const heard = (update: object) => calls.heard({ method: 'session/update', params: { update: { toolCallId: 't', ...update } } })
  heard({ sessionUpdate: 'tool_call', kind: 'read', title: 'read', rawInput: {} })
  heard({ sessionUpdate: 'tool_call_update', status: 'in_progress', rawInput: { filePath: '/work/repo/.env' } })
  const asked = Call.parse({ toolCallId: 't', rawInput: {} })
  expect(wishOf(calls.complete(asked), '/work/repo')).toEqual({ tools: ['read'], subjects: ['.env'] })
  heard({ sessionUpdate: 'tool_call_update', status: 'completed' })
  expect(calls.complete(asked)).toEqual(asked)
  for (const message of [{}, { method: 'session/update', params: null }, { method: 'session/update', params: { update: { sessionUpdate: 'tool_call', toolCallId: 7 } } }]) calls.heard(message)
})

import { expect, test } from 'vitest'

import { decide, decideTool, DEFAULT_POLICY, layersOf, PermissionPolicy, withheldFrom } from './permission.ts'

test('of one policy the last pattern that fits decides, and a tool that is named is not the others\' any more', () => {
  const policy = { '*': 'ask', bash: { '*': 'allow', 'git push*': 'ask', 'git push --force*': 'deny', 'rm ?': 'deny' } } as const
  const of = (tool: string, ...subjects: string[]) => decide([policy], tool, subjects)
  expect([of('bash', 'ls'), of('bash', 'git push origin'), of('bash', 'git push --force'), of('bash', 'rm x'), of('bash', 'rm xy')]).toEqual(['allow', 'ask', 'deny', 'deny', 'allow'])
  expect([of('edit', 'a.ts'), of('bash', 'ls', 'git push'), of('bash', 'ls', 'rm x', 'git push'), of('bash')]).toEqual(['ask', 'ask', 'deny', 'allow'])
})

test('of several policies the strictest decides: a later one takes away and never gives', () => {
  const layers = layersOf({ permissions: { bash: 'ask', webfetch: 'deny' }, agents: { careful: { '*': 'ask' } } }, { agent_id: 'careful', permissions: { bash: { 'rm *': 'deny' }, webfetch: 'allow', external_directory: 'allow' } })
  expect(layers).toHaveLength(3)
  expect([decide(layers, 'bash', ['ls']), decide(layers, 'bash', ['rm x']), decide(layers, 'webfetch', ['x']), decide(layers, 'external_directory', ['/etc']), decide(layers, 'edit', ['a'])]).toEqual(['ask', 'deny', 'deny', 'deny', 'ask'])
  expect(decide([DEFAULT_POLICY], 'edit', ['a'])).toBe('allow')
  expect(layersOf({ permissions: {}, agents: {} }, { agent_id: '__proto__' })).toHaveLength(1)
})

test('what no pattern fits is not allowed by that: it is as if the tool were not named', () => {
  const of = (permissions: PermissionPolicy, tool: string, subject: string) => decide(layersOf({ permissions, agents: {} }, { agent_id: 'a' }), tool, [subject])
  expect([of({ '*': 'deny', bash: { 'ls*': 'allow' } }, 'bash', 'rm x'), of({ '*': 'deny', bash: { 'ls*': 'allow' } }, 'bash', 'ls')]).toEqual(['deny', 'allow'])
  expect([of({ external_directory: { '/data/*': 'allow' } }, 'external_directory', '/etc/*'), of({ external_directory: { '/data/*': 'allow' } }, 'external_directory', '/data/x')]).toEqual(['deny', 'allow'])
  expect([of({ bash: { 'git push*': 'ask' } }, 'bash', 'ls'), of({ '*': { 'a*': 'allow' } }, 'edit', 'b')]).toEqual(['allow', 'allow'])
  expect(decideTool([{ '*': 'deny', bash: { 'ls*': 'allow' } }], 'bash')).toBe('ask')
})

test('for a tool as a whole: allowed only where nothing depends on what it is used on', () => {
  expect([decideTool([{ '*': 'allow' }], 'bash'), decideTool([{ bash: { '*': 'allow' } }], 'bash'), decideTool([{ '*': 'allow' }, { bash: 'deny' }], 'bash'), decideTool([{ bash: 'ask' }, {}], 'bash')]).toEqual(['allow', 'ask', 'deny', 'ask'])
})

test('a pattern that is made to take for ever does not', () => {
  expect(decide([{ bash: { [`${'*a'.repeat(140)}b`]: 'deny' } }], 'bash', ['a'.repeat(20_000)])).toBe('allow')
})

test.each([
  ['an action', { bash: 'maybe' }, 'allow'],
  ['a tool\'s name', { 'b ash': 'allow' }, 'a tool is'],
  ['too many tools', Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`t${i}`, 'ask'])), 'at most 100 tools'],
  ['an empty pattern', { bash: { '': 'ask' } }, ''],
  ['a name that objects have', { constructor: 'ask' }, 'is not a tool'],
])('what is no policy is refused: %s', (_what, policy, says) => {
  const parsed = PermissionPolicy.safeParse(policy)
  expect(parsed.success).toBe(false)
  expect(JSON.stringify(parsed.error?.issues)).toContain(says)
})

test('what asks nobody is told what is withheld: any ask or deny of the operator, not what is withheld from all by itself', () => {
  const of = (permissions: PermissionPolicy, agents: Record<string, PermissionPolicy> = {}) => withheldFrom({ permissions, agents }, 'agent-a')
  expect([of({}), of({ '*': 'allow', bash: { '*': 'allow' } }), of({ question: 'deny', external_directory: 'ask', doom_loop: 'deny' }), of({}, { 'agent-b': { bash: 'deny' } })]).toEqual([undefined, undefined, undefined, undefined])
  expect([of({ bash: 'ask' }), of({ bash: { '*': 'allow', 'git push*': 'deny' } }), of({ '*': 'deny' })]).toEqual(['bash', 'bash', '*'].map((tool) => ({ setting: 'PERMISSIONS', tool })))
  expect(of({}, { 'agent-a': { edit: 'deny' } })).toEqual({ setting: 'AGENT_PERMISSIONS', tool: 'edit' })
  expect(withheldFrom({ permissions: {}, agents: {} }, '__proto__')).toBeUndefined()
})

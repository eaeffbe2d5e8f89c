import { expect, test } from 'vitest'

import { MatrixAuthorityText, matrixRoleOf } from './matrix-authority.ts'

const ROOM = '!harbour:example.org'
const faults = (given: unknown): string[] => MatrixAuthorityText.safeParse(given).error?.issues.map(({ message }) => message) ?? []

test('a role holds everywhere, but for a room that says otherwise of that person', () => {
  const authority = MatrixAuthorityText.parse({ '@ann:example.org': 'admin', '@bob:example.org': 'viewer', [ROOM]: { '@ann:example.org': 'viewer', '@eve:example.org': 'operator' } })
  const roles = (room: string) => ['@ann', '@bob', '@eve', '@mallory'].map((name) => matrixRoleOf(authority, room, `${name}:example.org`))
  expect(roles(ROOM)).toEqual(['viewer', 'viewer', 'operator', undefined])
  expect(roles('!other:example.org')).toEqual(['admin', 'viewer', undefined, undefined])
  expect(matrixRoleOf(authority, 'constructor', '__proto__')).toBeUndefined()
})

test.each([
  ['no object', ['@ann:example.org'], 'a JSON object of user ids'],
  ['a role that is none', { '@ann:example.org': 'boss' }, 'viewer, operator or admin for @ann:example.org; "boss" is none of them'],
  ['a name without a server', { ann: 'viewer' }, 'user ids such as @ann:example.org; "ann" is none'],
  ['an alias of a room', { '#harbour:example.org': { '@ann:example.org': 'viewer' } }, '"#harbour:example.org" is none'],
  ['a room with a role', { [ROOM]: 'viewer' }, `"${ROOM}" has "viewer"`],
  ['a role that is none in a room', { [ROOM]: { '@ann:example.org': null } }, `for @ann:example.org in ${ROOM}; null is none`],
])('%s is refused in words that name what came and what is allowed', (_, given, says) => {
  expect(faults(given).join('\n')).toContain(says)
})

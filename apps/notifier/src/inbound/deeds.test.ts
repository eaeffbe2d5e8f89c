import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { DEEDS, deedsOf, type Deed, may, ruleOf } from './deeds.ts'
import { createPaceOfPeople } from './pace-of-people.ts'
import { createPatience } from './patience.ts'

const ALL = Object.keys(DEEDS) as Deed[]

test('who is not named may do nothing; a viewer looks; an operator steers; the deployment is changed by an operator of all of it, or an admin', () => {
  expect(deedsOf({ here: undefined, everywhere: 'admin' })).toEqual([])
  expect(deedsOf({ here: 'viewer', everywhere: 'admin' })).toEqual(['help', 'status'])
  expect(deedsOf({ here: 'operator', everywhere: undefined })).toEqual(ALL.filter((deed) => deed !== 'rollout set'))
  expect(may({ here: 'operator', everywhere: 'viewer' }, 'rollout set')).toBe(false)
  expect(deedsOf({ here: 'operator', everywhere: 'operator' })).toEqual(ALL)
  expect(deedsOf({ here: 'admin', everywhere: undefined })).toEqual(ALL)
})

test('the guide says the same as the table', async () => {
  const guide = await readFile(join(import.meta.dirname, '../../../../docs/guides/matrix-commands.md'), 'utf8')
  for (const deed of ALL) expect(guide).toContain(`| ${ruleOf(deed).usage} | ${ruleOf(deed).about} | ${ruleOf(deed).role}`)
})

test('what fails again and again for half a minute is given up; a homeserver that is away for less loses nobody\'s word', () => {
  let now = 0
  const patience = createPatience(() => now)
  expect(Array.from({ length: 20 }, () => patience.isOver('$e'))).not.toContain(true)
  now = 30_000
  expect([patience.isOver('$other'), patience.isOver('$e'), patience.isOver('$e')]).toEqual([false, true, false])
})

test('one person can ask fifteen things at once, then one in two seconds; others are not held up by that', () => {
  let now = 0
  const pace = createPaceOfPeople(() => now)
  expect(Array.from({ length: 18 }, () => pace.take('@ann:x'))).toEqual([...Array.from({ length: 15 }, () => 'go'), 'first', 'more', 'more'])
  expect(pace.take('@bob:x')).toBe('go')
  now = 2_000
  expect([pace.take('@ann:x'), pace.take('@ann:x')]).toEqual(['go', 'first'])
  now = 60_000
  expect(Array.from({ length: 16 }, () => pace.take('@ann:x')).at(-1)).toBe('first')
})

test('what was said over an hour in which nobody listened is not too fast when it is read at once; a time in the future or the past gains nothing', () => {
  const now = 3_600_000
  const pace = createPaceOfPeople(() => now)
  expect(new Set(Array.from({ length: 60 }, (_, minute) => pace.take('@ann:x', minute * 60_000)))).toEqual(new Set(['go']))
  for (const saidAt of [now * 2, 0]) expect(Array.from({ length: 20 }, () => pace.take(`@eve${saidAt}:x`, saidAt)).at(-1)).toBe('more')
})

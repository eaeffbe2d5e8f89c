import { expect, test } from 'vitest'

import { foldTitle } from './fold-title.ts'

test.each([
  ['Fix THE Parser', 'fix the parser'], ['STRASSE', 'straße'], ['GROẞ', 'groß'], ['ΟΔΟΣ', 'οδος'], ['ΟΔΟΣ', 'οδοσ'], ['ＡＢＣ', 'abc'], ['ﬁx', 'FIX'], ['Cafe\u0301', 'CAFÉ'],
  ['İstanbul', 'i̇stanbul'], ['ΐ', 'Ϊ́'], ['K', 'k'], ['a\u0000b\u001Bc\u200Dd', 'abcd'], ['', ''],
])('%j and %j are one to a reader', (one, other) => {
  expect(foldTitle(one)).toBe(foldTitle(other))
})

test('the beginning of a title folds to the beginning of the folded title, wherever it is cut between letters', () => {
  const title = 'ΟΔΟΣ ẞig ﬁx İ 👩‍👩‍👧 ﷺ ΐ'
  const letters = Array.from(title)
  for (let i = 0; i <= letters.length; i++) expect(foldTitle(title).startsWith(foldTitle(letters.slice(0, i).join('')))).toBe(true)
})

import { access, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../../../..')
const GUIDE = 'docs/guides/write-a-backend.md'
const guide = await readFile(join(ROOT, GUIDE), 'utf8')

/** Fenced code with the file that it is taken from. */
const excerpts = [...guide.matchAll(/^```(.*)\n([^]*?)^```$/gm)].map(([, info = '', code = '']) => ({ file: /^ts (\S+)$/.exec(info)?.[1] ?? '', code }))
const links = [...guide.matchAll(/\]\(([^)#]+)\)/g)].map(([, target = '']) => target).filter((target) => !target.includes('://'))

test('the guide shows code, and links to files', () => {
  expect(excerpts.length).toBeGreaterThan(5)
  expect(links.length).toBeGreaterThan(3)
})

test.each(excerpts)(`every excerpt in ${GUIDE} is in its file word for word: $file`, async ({ file, code }) => {
  expect(await readFile(join(ROOT, file), 'utf8')).toContain(code)
})

test.each(links)(`what ${GUIDE} links to is there: %s`, async (target) => {
  await expect(access(join(ROOT, dirname(GUIDE), target))).resolves.toBeUndefined()
})

import { expect, test } from 'vitest'

import { fenced, inline } from './safe-markdown.ts'

const HOSTILE = ['```\n# heading\n```', '````js\n```', '`'.repeat(50), '~~~', '</pre><script>alert(1)</script>', 'a\r```\rb', '\n\n```', '\u001B[31mred\u0007', '\u202Eevil', '    ```', '\u0085```', 'tail ```', '\uD800']

/** Where a fence ends, as CommonMark has it: a line of at least as many backticks and nothing else, indented by at most three blanks. */
function contentOf(block: string): string {
  const [opening = '', ...lines] = block.split(/\r\n|\n|\r/)
  const fence = /^`{3,}/.exec(opening)?.[0].length ?? 0
  const end = lines.findIndex((line) => new RegExp(`^ {0,3}\`{${fence},}[ \\t]*$`).test(line))
  expect(lines.slice(end + 1)).toEqual([''])
  return lines.slice(0, end).join('\n')
}

test.each(HOSTILE)('G14: %j stays within its fence, and is all there but for what is not to be seen', (text) => {
  const shown = contentOf(fenced(text))
  expect(shown.replaceAll('\uFFFD', '')).toBe(text.replaceAll('\r', '\n').replaceAll(/[^\P{Cc}\n]|[\u202E\uD800]/gu, ''))
  expect(fenced(text)).not.toMatch(/[^\P{Cc}\n]|\u202E/u)
})

test.each(HOSTILE)('G14: %j on one line stays within its code', (text) => {
  const line = inline(text)
  expect(line).not.toMatch(/[\r\n]/)
  const mark = /^`+/.exec(line)?.[0] ?? ''
  const rows = line.match(/`+/g) ?? []
  // The code ends with the next row of just that length: it is the last one.
  expect(rows.findIndex((row, i) => i > 0 && row.length === mark.length)).toBe(rows.length - 1)
  expect(line.endsWith(mark)).toBe(true)
})

test('a long line is cut, at a character', () => {
  expect(inline('👍'.repeat(100), 20)).toMatch(/^` .*… `$/)
  expect(inline('👍'.repeat(100), 20).isWellFormed()).toBe(true)
  expect(inline(' \n ')).toBe('')
})

test('a text of very many backticks is fenced as any other', () => {
  expect(contentOf(fenced('`a\n'.repeat(150_000)))).toHaveLength(450_000 - 1)
})

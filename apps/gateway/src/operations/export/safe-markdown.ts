// C0, DEL, C1 and the bidi overrides: what a terminal obeys, or makes a text read as another. Lines and tabs stay.
const CONTROL = /[^\P{Cc}\n\t]|[\u202A-\u202E\u2066-\u2069]/gu

/** A text from outside without anything that is not to be seen; what was there is seen as U+FFFD. */
function clean(text: string): string {
  return text.toWellFormed().replaceAll(/\r\n?/g, '\n').replaceAll(CONTROL, '\uFFFD')
}

/** The longest row of backticks: what a fence must be longer than, so that nothing within can end it (G14). */
function longestRow(text: string): number {
  // One by one: there can be more rows than a call takes arguments.
  return (text.match(/`+/g) ?? []).reduce((longest, row) => Math.max(longest, row.length), 0)
}

/** A text of several lines as Markdown shows it letter by letter. */
export function fenced(text: string, info = ''): string {
  const content = clean(text)
  const fence = '`'.repeat(Math.max(3, longestRow(content) + 1))
  return `${fence}${info}\n${content}${content.endsWith('\n') ? '' : '\n'}${fence}\n`
}

/** A text on one line, letter by letter, cut to `max` characters. */
export function inline(text: string, max = 300): string {
  const line = clean(text).replaceAll(/\s+/g, ' ').trim()
  const content = line.length <= max ? line : `${line.slice(0, max - 1).toWellFormed()}…`
  const mark = '`'.repeat(longestRow(content) + 1)
  // Blanks at both ends keep the marks apart from backticks of the text; Markdown takes one off again.
  return content === '' ? '' : `${mark} ${content} ${mark}`
}

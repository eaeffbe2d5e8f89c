/** An agent can put out a line that is longer than a text may be: one of more characters comes as several. */
const MAX_LINE = 1024 * 1024

/** The lines of a text that comes in pieces, which may end within a character; what is no UTF-8 is U+FFFD. Holds one line. */
export async function* linesOf(content: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest: string[] = []
  let length = 0
  const taken = (): string => {
    const line = rest.join('')
    ;[rest, length] = [[], 0]
    return line
  }
  for await (const piece of content) {
    for (const [i, part] of decoder.decode(piece, { stream: true }).split('\n').entries()) {
      if (i > 0 || length > MAX_LINE) yield taken()
      rest.push(part)
      length += part.length
    }
  }
  rest.push(decoder.decode())
  const last = taken()
  if (last !== '') yield last
}

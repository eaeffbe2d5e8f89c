/** What stands before a command without being one: the shell's own words, and variables that are set for it. */
const BEFORE = /^(?:(?:(?:if|then|else|elif|while|until|do|time|!|\{)|[A-Za-z_]\w*=\S*) )+/
/** A quoted text in which no command can stand, an escaped character, a beginning of commands within a word, or any character. */
const PIECES = /'[^']*'|"(?:[^"\\`$]|\\[^]|\$(?!\())*"|\\[^]|\$\(|<<|\$'|[^]/g
/** Behind these, quotes may mean something else than they seem to. */
const UNSURE = new Set(['\'', '"', '#', '<<', '$\''])

/**
 * The single commands of a line of shell, so that a policy's pattern meets each of them (`cd x && git push` is `cd x` and `git push`), those in
 * `$(…)` and backticks too, as OpenCode's own shell tool names them. No shell's parser: where it is not sure what is quoted it takes apart too
 * much rather than too little, which makes a policy stricter.
 */
export function commandsOf(line: string): string[] {
  const found = ['']
  let isSure = true
  const add = (piece: string): void => {
    const word = found.at(-1) ?? ''
    if ([';', '|', '\n', '(', ')', '`', '$('].includes(piece) || (piece === '&' && !word.endsWith('>'))) found.push('')
    else if (/^\s$/.test(piece)) found[found.length - 1] = word.endsWith(' ') ? word : `${word} `
    else if (piece !== '\\\n') found[found.length - 1] = word + piece
  }
  for (const [piece] of line.matchAll(PIECES)) {
    isSure &&= !UNSURE.has(piece)
    if (isSure || piece === '$(') add(piece)
    else for (const character of piece) add(character)
  }
  return [...new Set(found.map((command) => command.trim().replace(BEFORE, '')).filter((command) => command !== ''))]
}

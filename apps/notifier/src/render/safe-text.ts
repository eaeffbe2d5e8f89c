import { stripVTControlCharacters } from 'node:util'

// Control characters except line feed and tab; invisible format characters except the joiners that emoji and Persian need.
// They could forge what a person reads, right-to-left overrides above all (G14).
const INVISIBLE = /[[\p{Cc}\p{Cf}\u2028\u2029]--[\n\t\u200C\u200D]]/gv

/** Untrusted text as data for people: no terminal codes, no invisible or bidi characters, no lone surrogates. */
export function cleanText(text: string): string {
  return stripVTControlCharacters(text.replace(/\r\n?/g, '\n')).replace(INVISIBLE, '').toWellFormed()
}

/** The same on one line. */
export function cleanLine(text: string, maxCharacters: number): string {
  return shorten(cleanText(text.slice(0, maxCharacters * 4)).replace(/\s+/g, ' ').trim(), maxCharacters)
}

/** The beginning, at most `maxCharacters` UTF-16 units; a cut shows as `…` and never leaves half a character. */
function shorten(text: string, maxCharacters: number): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 1).toWellFormed().replace(/\uFFFD$/, '')}…`
}

/** The end, at most `maxCharacters`, from a line's beginning where one is near. */
export function lastPart(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text
  const tail = text.slice(1 - maxCharacters).toWellFormed().replace(/^\uFFFD/, '')
  const newline = tail.indexOf('\n')
  return `…${newline >= 0 && newline < maxCharacters / 4 ? tail.slice(newline) : tail}`
}

/** Who did something, as people write it: a Matrix user without the word that names the network. */
export const personText = (by: string): string => by.replace(/^matrix:(?=@)/, '')

/** Text as HTML text. Never put it into an attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/**
 * A title as it is compared: compatibility forms are one (full width, ligatures), letters have no case, and what a title cannot hold is left out.
 * Letter by letter, accents apart, so that the beginning of a title folds to the beginning of what the title folds to: a word's last sigma is no other
 * letter, and `cafe` begins `Café`.
 */
export function foldTitle(text: string): string {
  return Array.from(text.normalize('NFKD').replace(/[\p{Cc}\p{Cf}]/gu, ''), fold).join('')
}

/** Twice, because a capital may have a small letter whose capital is two: ẞ, ß, SS. */
function fold(letter: string): string {
  return letter.toLowerCase().toUpperCase().toLowerCase()
}

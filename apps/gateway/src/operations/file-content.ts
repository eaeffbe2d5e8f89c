/** How bytes of a file become an answer. Pure. */

export type Encoding = 'auto' | 'text' | 'base64'
export interface Content {
  content: string
  encoding: 'text' | 'base64'
  /** How many of the bytes are in it: a character that is cut at the end waits for the next slice. */
  bytes: number
  /** What is not UTF-8 was replaced by U+FFFD: text was asked for. */
  lossy: boolean
}

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @param isLast whether the file ends with these bytes */
export function toContent(bytes: Buffer, asked: Encoding, isLast: boolean): Content {
  if (asked === 'base64') return asBase64(bytes)
  const whole = isLast ? bytes : bytes.subarray(0, bytes.length - cutAtEnd(bytes))
  const text = strictly(whole)
  if (text !== undefined && (asked === 'text' || !text.includes('\0'))) return { content: text, encoding: 'text', bytes: whole.length, lossy: false }
  return asked === 'auto' ? asBase64(bytes) : { content: whole.toString('utf8'), encoding: 'text', bytes: whole.length, lossy: true }
}

function asBase64(bytes: Buffer): Content {
  return { content: bytes.toString('base64'), encoding: 'base64', bytes: bytes.length, lossy: false }
}

function strictly(bytes: Buffer): string | undefined {
  try {
    return STRICT.decode(bytes)
  } catch {
    return undefined
  }
}

/** How many bytes at the end begin a character that they do not complete: at most three. */
function cutAtEnd(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80 || byte > 0xf4) return 0
    if (byte >= 0xc2) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0
  }
  return 0
}

/** What files begin with. Text is plain text whatever its name says: nobody should render what an agent wrote. */
const SIGNATURES: readonly (readonly [string, string])[] = [
  ['89504e470d0a1a0a', 'image/png'], ['ffd8ff', 'image/jpeg'], ['47494638', 'image/gif'], ['25504446', 'application/pdf'], ['504b0304', 'application/zip'],
  ['1f8b', 'application/gzip'], ['fd377a585a00', 'application/x-xz'], ['28b52ffd', 'application/zstd'], ['7f454c46', 'application/x-elf'], ['53514c69746520', 'application/vnd.sqlite3'],
]

/** @param head the first bytes of the file, in hex */
export function mediaTypeOf(head: string, encoding: Content['encoding']): string {
  const known = SIGNATURES.find(([signature]) => head.startsWith(signature))?.[1]
  return known ?? (encoding === 'text' ? 'text/plain; charset=utf-8' : 'application/octet-stream')
}

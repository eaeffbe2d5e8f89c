import { isUtf8 } from 'node:buffer'

// Our own, because names are bytes and readers want to know where in the archive a file begins; the usual library takes names as text and counts nothing.

export interface TarEntry {
  name: Buffer
  type: 'file' | 'directory' | 'symlink'
  /** Of a file's content. */
  size: number
  mode: number
  /** Unix seconds. */
  modifiedAt: number
  /** Where a link points to. */
  link?: Buffer
}

const BLOCK = 512
const TYPES = { file: '0', directory: '5', symlink: '2' } as const
const MAX_FIELD_BYTES = 100
/** What eleven octal digits hold. */
const MAX_OCTAL = 8 ** 11 - 1
const NO_LINK = Buffer.alloc(0)

export const TAR_END = Buffer.alloc(2 * BLOCK)

/** The blocks before an entry's content: POSIX ustar, with a pax header where a name or a size does not fit. Owner and group are root, as git has it. */
export function tarHeader(entry: TarEntry): Buffer {
  const { name, link = NO_LINK, size } = entry
  const records = [
    ...([name, link].some((bytes) => !isUtf8(bytes)) ? [record('hdrcharset', Buffer.from('BINARY'))] : []),
    ...(needsRecord(name) ? [record('path', name)] : []),
    ...(needsRecord(link) ? [record('linkpath', link)] : []),
    ...(size > MAX_OCTAL ? [record('size', Buffer.from(String(size)))] : []),
  ]
  const own = block(entry, TYPES[entry.type])
  if (records.length === 0) return own
  const pax = Buffer.concat(records)
  return Buffer.concat([block({ ...entry, name: Buffer.from('pax'), link: NO_LINK, size: pax.length, mode: 0o644 }, 'x'), pax, paddingOf(pax.length), own])
}

/** What follows a content, so that the next header begins with a block. */
export function paddingOf(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)
}

function needsRecord(bytes: Buffer): boolean {
  return bytes.length > MAX_FIELD_BYTES || bytes.some((byte) => byte > 0x7e || byte < 0x20)
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function record(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3
  const digits = String(rest + String(rest).length).length
  return Buffer.concat([Buffer.from(`${rest + digits} ${key}=`), value, Buffer.from('\n')])
}

function block({ name, link = NO_LINK, size, mode, modifiedAt }: TarEntry, type: string): Buffer {
  const header = Buffer.alloc(BLOCK)
  name.copy(header, 0, 0, MAX_FIELD_BYTES)
  const octal = (value: number, at: number, digits: number) => header.write(Math.min(value, 8 ** digits - 1).toString(8).padStart(digits, '0'), at, 'latin1')
  octal(mode & 0o777, 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(size > MAX_OCTAL ? 0 : size, 124, 11)
  octal(Math.max(0, Math.floor(modifiedAt)), 136, 11)
  header.write('        ', 148, 'latin1')
  header.write(type, 156, 'latin1')
  link.copy(header, 157, 0, MAX_FIELD_BYTES)
  header.write('ustar\x0000root', 257, 'latin1')
  header.write('root', 297, 'latin1')
  octal(header.reduce((sum, byte) => sum + byte, 0), 148, 6)
  header.write('\0 ', 154, 'latin1')
  return header
}

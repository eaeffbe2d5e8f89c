/** A `Range` header of one range of bytes, against what there is (RFC 9110). What we do not understand is ignored, as the standard wants it: then all is sent. */
export function parseRange(header: string | undefined, total: number): { start: number; end: number } | 'unsatisfiable' | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
  const start = first === '' ? Math.max(0, total - Number(last)) : Number(first)
  const end = first === '' || last === '' ? total : Math.min(Number(last) + 1, total)
  if (first !== '' && last !== '' && Number(last) < start) return undefined
  return start >= total || start >= end ? 'unsatisfiable' : { start, end }
}

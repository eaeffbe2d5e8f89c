/** Milliseconds as people say it: `8.4 s`, `2 min 10 s`, `1 h 5 min`. */
export function durationText(ms: number): string {
  if (ms < 10_000) return `${(Math.max(ms, 0) / 1_000).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return withRest(`${minutes} min`, seconds % 60, 's')
  return withRest(`${Math.floor(minutes / 60)} h`, minutes % 60, 'min')
}

function withRest(whole: string, rest: number, unit: string): string {
  return rest === 0 ? whole : `${whole} ${rest} ${unit}`
}

/** `24 Nov, 14:03 UTC`: of what may be a day away. */
export function dayText(at: number): string {
  return `${new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })}, ${clockText(at)}`
}

/** `14:03 UTC`: a card stays for days in front of people in several time zones. */
export function clockText(at: number): string {
  return `${new Date(at).toISOString().slice(11, 16)} UTC`
}

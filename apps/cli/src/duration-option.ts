import { Complaint } from './command.ts'
import { plain } from './terminal.ts'

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90s`, `15m`, `2h` or `1d` in milliseconds. @throws Complaint */
export function durationOption(option: string, text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (digits === '') throw new Complaint(`${option}: got "${plain(text, 40)}", allowed: a duration such as 90s, 15m, 2h or 1d.`)
  return Number(digits) * (UNITS[unit] ?? 0)
}

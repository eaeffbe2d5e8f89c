import { appendFileSync } from 'node:fs'
import process from 'node:process'

/** Tells the soak runner, or whoever reads the log, what was measured. */
export function measured(name: string, value: number): void {
  const file = process.env['SOAK_FIGURES']
  if (file === undefined) console.log(`${name}: ${value}`)
  else appendFileSync(file, `${JSON.stringify({ name, value })}\n`)
}

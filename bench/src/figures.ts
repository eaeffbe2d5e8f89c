/** The middle of the values; NaN for none. */
export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** Nearest rank. @param p 0 to 100 */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN
}

/** One line of a result: what was measured, in which unit, and the value; `aim` is what the project wants it to be. */
export interface Row { what: string; value: number; unit: string; aim?: string }

export interface Result { name: string; rounds: number; rows: Row[] }

/** A Markdown table: the same text serves the terminal and the README. */
export function tableOf(result: Result): string {
  const rows = result.rows.map(({ what, value, unit, aim = '' }) => [what, shown(value), unit, aim])
  const lines = [['what', 'median', 'unit', 'aim'], ['---', '---:', '---', '---'], ...rows]
  return [`**${result.name}** (${result.rounds} rounds)`, '', ...lines.map((cells) => `| ${cells.join(' | ')} |`)].join('\n')
}

function shown(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}

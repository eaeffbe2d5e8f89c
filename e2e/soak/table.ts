import type { Results } from './results.ts'

/** What a soak has shown so far, for people. */
export function tableOf({ case: name, commit, dirty, runs }: Results): string {
  const passed = runs.filter((run) => run.passed).length
  const seconds = runs.map((run) => run.seconds)
  return [
    '',
    `${name} at ${commit}${dirty ? ' and changes' : ''}: ${passed} of ${runs.length} runs passed, ${passedLast(runs)} in a row; ${sayRange(seconds)} s each`,
    ...figureNames(runs).map((figure) => {
      const found = runs.flatMap((run) => (run.figures ?? []).filter((one) => one.name === figure).map(({ value }) => value))
      return `  ${figure.padEnd(36)} ${sayRange(found)}   (${found.length} times)`
    }),
    ...runs.filter((run) => !run.passed).map((run) => `  run ${run.n} failed, seed ${run.seed}: ${reasonOf(run.error ?? '')}`),
  ].join('\n')
}

/** The first line that names an error, else the first. */
function reasonOf(error: string): string {
  const lines = error.split('\n').filter((line) => line.trim() !== '')
  return (lines.find((line) => line.includes('Error')) ?? lines[0] ?? '').slice(0, 160)
}

function passedLast(runs: Results['runs']): number {
  const failed = runs.findLastIndex((run) => !run.passed)
  return runs.length - 1 - failed
}

function figureNames(runs: Results['runs']): string[] {
  return [...new Set(runs.flatMap((run) => (run.figures ?? []).map(({ name }) => name)))].toSorted()
}

function sayRange(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0
  return `least ${sorted[0] ?? 0}, median ${median}, most ${sorted.at(-1) ?? 0}`
}

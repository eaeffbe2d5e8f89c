import type { Reporter, TestModule } from 'vitest/node'
import { leftOutSummary } from './need.ts'

/** The last words of a run: which suites were left out and how to bring them in, and one line with the counts. */
export class ClosingReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const suites = modules.flatMap((module) => [...module.children.allSuites()])
    const summary = leftOutSummary(suites.filter((suite) => suite.options.mode === 'skip').map((suite) => suite.fullName))
    if (summary !== '') process.stdout.write(`\n${summary}\n`)
    process.stdout.write(`\n${countLine(modules, unhandledErrors.length)}\n`)
  }
}

/** A file or hook that broke, and an error outside of all tests, fail the run too: each counts as one. */
function countLine(modules: readonly TestModule[], unhandled: number): string {
  const count = { passed: 0, failed: unhandled, skipped: 0, pending: 0 }
  for (const module of modules) {
    for (const test of module.children.allTests()) count[test.result().state]++
    count.failed += module.errors().length
    for (const suite of module.children.allSuites()) count.failed += suite.errors().length
  }
  return `${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`
}

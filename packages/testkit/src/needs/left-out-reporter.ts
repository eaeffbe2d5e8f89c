import type { Reporter, TestModule } from 'vitest/node'
import { leftOutSummary } from './need.ts'

/** Says at the end of a run which suites were left out, and how to bring them in. */
export class LeftOutReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const suites = modules.flatMap((module) => [...module.children.allSuites()])
    const summary = leftOutSummary(suites.filter((suite) => suite.options.mode === 'skip').map((suite) => suite.fullName))
    if (summary !== '') process.stdout.write(`\n${summary}\n\n`)
  }
}

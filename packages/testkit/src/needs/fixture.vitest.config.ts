import { defineConfig } from 'vitest/config'
import { ClosingReporter } from './closing-reporter.ts'

/** Runs needing.fixture.ts as needs.test.ts sees fit. */
export default defineConfig({
  test: {
    include: ['packages/testkit/src/needs/needing.fixture.ts'],
    globalSetup: ['packages/testkit/src/servers/vitest-global-setup.ts'],
    reporters: ['verbose', new ClosingReporter()],
  },
})

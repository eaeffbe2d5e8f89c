import { defineConfig } from 'vitest/config'
import { ClosingReporter } from './packages/testkit/src/needs/closing-reporter.ts'

export default defineConfig({
  test: {
    include: ['{apps,packages,e2e,bench,infra}/**/*.test.ts'],
    globalSetup: ['packages/testkit/src/servers/vitest-global-setup.ts'],
    reporters: ['default', new ClosingReporter()],
    // Most tests start real servers: two files at a time is what two cores bear.
    maxWorkers: 2,
    // A test waits for what it expects, and says what that was: this ends only what hangs, however busy the machine is.
    testTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    hookTimeout: 120_000,
  },
})

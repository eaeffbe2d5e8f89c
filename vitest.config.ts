import { defineConfig } from 'vitest/config'
import { ClosingReporter } from './packages/testkit/src/needs/closing-reporter.ts'

export default defineConfig({
  test: {
    include: ['{apps,packages,e2e,bench,infra}/**/*.test.ts'],
    globalSetup: ['packages/testkit/src/servers/vitest-global-setup.ts'],
    reporters: ['default', new ClosingReporter()],
    // Most tests start real servers: two files at a time is what two cores bear.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 120_000,
  },
})

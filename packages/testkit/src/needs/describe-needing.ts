/* oxlint-disable vitest/no-conditional-tests, vitest/valid-describe-callback, vitest/valid-title, vitest/no-disabled-tests, vitest/expect-expect --
   these rules are for suites; this makes suites out of names and callbacks that it is given */
import { describe, inject, test } from 'vitest'
import { CURES, type Need, needsMark } from './need.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    missingNeeds: Need[]
    /** LONGSHORE_TEST_REQUIRE=all: nothing may be left out. */
    mustNotSkip: boolean
  }
}

/**
 * A suite that needs real parts. Where one is missing it is left out, and the end of the run says so;
 * under LONGSHORE_TEST_REQUIRE=all it fails instead.
 */
export function describeNeeding(need: Need | readonly Need[], name: string, suite: () => void): void {
  const needs: readonly Need[] = typeof need === 'string' ? [need] : need
  const missing = needs.filter((one) => inject('missingNeeds').includes(one))
  if (missing.length === 0) describe(name, suite)
  else if (inject('mustNotSkip')) describe(name + needsMark(missing), () => failFor(missing))
  else describe.skip(name + needsMark(missing), suite)
}

function failFor(missing: readonly Need[]): void {
  test.each(missing)('%s is here', (need) => {
    throw new Error(`LONGSHORE_TEST_REQUIRE=all, and this machine lacks ${need}: ${CURES[need]}`)
  })
}

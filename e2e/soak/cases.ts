/** One guarantee that is shown again and again: a test file and which of its tests. */
export interface SoakCase {
  /** Relative to the repository. */
  readonly file: string
  /** What the tests' full names must match; default: all of the file. */
  readonly test?: string
  /** Of the test process, besides what every run gets. */
  readonly env?: Readonly<Record<string, string>>
}

/** By name, as `npm run soak -- --case` takes it. */
export const CASES: Readonly<Record<string, SoakCase>> = {
  'g7-sigkill-docker': { file: 'e2e/src/g7-sigkill.test.ts', test: 'in docker mode' },
  'g4-sigstop': { file: 'e2e/src/g4-fencing.test.ts', test: 'is suspended' },
  'g4-blackhole': { file: 'e2e/src/g4-fencing.test.ts', test: 'packets' },
  'g1-redis-kill': { file: 'e2e/src/g1-redis-dies.test.ts', test: 'kill -9' },
  'g1-redis-stall': { file: 'e2e/src/g1-redis-dies.test.ts', test: 'stalled' },
  'g3-cancel-race': { file: 'e2e/src/g3-one-ending.test.ts', test: '200 times' },
  // Five of each kind a run: a hundred in twenty.
  'g9-cycles': { file: 'packages/backends/src/cycles.test.ts' },
  'g7-engine-restart': { file: 'e2e/src/g7-engines.test.ts', test: 'is restarted' },
  'g7-two-engines': { file: 'e2e/src/g7-engines.test.ts', test: 'when there are two' },
  'g12-rolling': { file: 'e2e/src/g12-drain.test.ts', test: 'rolling' },
  'g12-stack-stop': { file: 'e2e/src/g12-drain.test.ts', test: 'all at once' },
  'g12-drain-command': { file: 'e2e/src/g12-drain.test.ts', test: 'by command' },
  'g7-opencode-sigkill': { file: 'e2e/src/g7-agent-killed.test.ts' },
  'g7-sigkill-opencode': { file: 'e2e/src/g7-sigkill.test.ts', test: 'in opencode mode' },
  'g8-notices': { file: 'apps/notifier/src/matrix/at-scale.test.ts', test: 'each ending', env: { SOAK_TASKS: '500', SOAK_KILLS: '50' } },
  'g8-notices-redis': { file: 'apps/notifier/src/matrix/at-scale.test.ts', test: 'the same when', env: { SOAK_TASKS: '500', SOAK_KILLS: '50' } },
  journey: { file: 'e2e/src/in-control.test.ts' },
  versions: { file: 'e2e/src/versions.test.ts' },
}

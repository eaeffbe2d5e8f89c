import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { SoakCase } from './cases.ts'
import { readFigures, type Run } from './results.ts'

const ROOT = join(import.meta.dirname, '../..')
/** No run of a case is meant to take so long; vitest's own limits end it much sooner. */
const RUN_MS = 8 * 60_000
const [REPORT_CHARACTERS, LOG_CHARACTERS] = [8_000, 40_000]

/** Runs a case once, in a vitest process of its own in which nothing may be left out. */
export async function runOnce({ file, test, env }: SoakCase, seed: number): Promise<Omit<Run, 'n'>> {
  const folder = await mkdtemp(join(tmpdir(), 'longshore-soak-'))
  const [figures, began, at] = [join(folder, 'figures'), performance.now(), new Date().toISOString()]
  try {
    const filter = test === undefined ? [] : ['--testNamePattern', test]
    const child = spawn(process.execPath, [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', file, ...filter], {
      cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], timeout: RUN_MS,
      env: { ...process.env, ...env, NO_COLOR: '1', LONGSHORE_TEST_REQUIRE: 'all', SOAK_SEED: String(seed), SOAK_FIGURES: figures },
    })
    let [report, logs] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => { report += chunk.toString() })
    child.stderr.on('data', (chunk: Buffer) => { logs += chunk.toString() })
    const [code] = (await once(child, 'close')) as [number | null]
    const error = faultOf(code, report, logs)?.replaceAll(ROOT, '.')
    // What the run wrote is for whoever looks now; the evidence is committed, and holds no paths of this machine.
    if (error !== undefined) process.stderr.write(`--- the last of its logs\n${logs.slice(-LOG_CHARACTERS)}\n`)
    const measured = await readFigures(figures)
    return {
      seed, at, seconds: Math.round((performance.now() - began) / 100) / 10, passed: error === undefined,
      ...(measured.length === 0 ? {} : { figures: measured }),
      ...(error === undefined ? {} : { error }),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Passed means: something ran, and nothing failed, hooks included. The count is the closing reporter's; what failed and why, vitest says among the logs. */
function faultOf(code: number | null, report: string, logs: string): string | undefined {
  const passed = Number(/^(\d+) passed, \d+ failed, \d+ skipped$/m.exec(report)?.[1] ?? 0)
  if (code === 0 && passed > 0) return undefined
  const failures = logs.search(/^.*⎯ Failed (Suites|Tests)/m)
  if (failures >= 0) return logs.slice(failures).slice(0, REPORT_CHARACTERS)
  return code === 0 ? 'no test of that name ran' : `vitest ended with ${code ?? 'a signal'}\n${report.slice(-REPORT_CHARACTERS)}`
}

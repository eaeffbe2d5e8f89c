import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'

import { CASES, type SoakCase } from './cases.ts'
import { readResults, type Results, writeResults } from './results.ts'
import { runOnce } from './run-once.ts'
import { tableOf } from './table.ts'

// Shows a guarantee many times in a row: each run is a fresh process with a seed of its own, written down at once.

const USAGE = 'npm run soak -- --list | --case NAME [--times 20] [--keep: go on although the commit is another] [--fresh: forget earlier runs]'
/** Who calls this may be cut off after ten minutes: it ends by itself before, and a second call goes on. */
const BUDGET_MS = 9 * 60_000
const ROOT = join(import.meta.dirname, '../..')

const { values } = parseArgs({
  options: { case: { type: 'string' }, times: { type: 'string', default: '20' }, keep: { type: 'boolean' }, fresh: { type: 'boolean' }, list: { type: 'boolean' } },
})

if (values.list === true) await list()
else await soak()

async function list(): Promise<void> {
  for (const [name, { file, test }] of Object.entries(CASES)) {
    const runs = (await readResults(name))?.runs ?? []
    console.log(`${name.padEnd(24)} ${`${runs.filter(({ passed }) => passed).length}/${runs.length}`.padStart(7)}   ${file}${test === undefined ? '' : ` -t '${test}'`}`)
  }
}

async function soak(): Promise<void> {
  const [name, times] = [values.case ?? '', Number(values.times)]
  const found = CASES[name]
  if (found === undefined || !Number.isSafeInteger(times) || times < 1) {
    console.error(`${USAGE}\n--case: got ${JSON.stringify(name)}, allowed: ${Object.keys(CASES).join(', ')}; --times: a whole number from 1`)
    process.exitCode = 1
    return
  }
  const results = await resultsToAddTo(name)
  const isComplete = await runUntil(results, found, times)
  console.log(tableOf(results))
  if (!isComplete) console.log(`${results.runs.length} of ${times} runs; to go on: npm run soak -- --case ${name} --times ${times}`)
  process.exitCode = results.runs.every(({ passed }) => passed) ? 0 : 1
}

async function runUntil(results: Results, found: SoakCase, times: number): Promise<boolean> {
  const began = performance.now()
  while (results.runs.length < times) {
    const longest = Math.max(0, ...results.runs.map(({ seconds }) => seconds * 1_000))
    if (results.runs.length > 0 && performance.now() - began + longest > BUDGET_MS) return false
    const run = { n: results.runs.length + 1, ...(await runOnce(found, randomInt(2 ** 31))) }
    results.runs.push(run)
    await writeResults(results)
    console.log(`${results.case} ${run.n}/${times}: ${run.passed ? 'passed' : 'FAILED'} after ${run.seconds} s, seed ${run.seed}`)
    if (run.error !== undefined) console.log(run.error.slice(0, 2_000))
  }
  return true
}

/** Runs of one state of the code belong together; those of another prove nothing about this one. */
async function resultsToAddTo(name: string): Promise<Results> {
  const earlier = values.fresh === true ? undefined : await readResults(name)
  const commit = await git('rev-parse', '--short=12', 'HEAD')
  const dirty = (await git('status', '--porcelain', '--', '.', ':!e2e/soak/results')) !== ''
  if (earlier === undefined) return { commit, dirty, case: name, runs: [] }
  if (values.keep === true) return { ...earlier, dirty: earlier.dirty || dirty || earlier.commit !== commit }
  return earlier.commit === commit && earlier.dirty === dirty ? earlier : { commit, dirty, case: name, runs: [] }
}

async function git(...words: string[]): Promise<string> {
  return (await promisify(execFile)('git', words, { cwd: ROOT })).stdout.trim()
}

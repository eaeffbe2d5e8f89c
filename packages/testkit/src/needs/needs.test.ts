import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testRedisBinary } from '../servers/redis-binary.ts'
import { leftOutSummary, needsMark } from './need.ts'

const ROOT = join(import.meta.dirname, '../../../..')
let emptyPath: string

beforeAll(async () => {
  emptyPath = await mkdtemp(join(tmpdir(), 'longshore-path-'))
  await symlink((await testRedisBinary()).path, join(emptyPath, 'redis-server'))
})
afterAll(() => rm(emptyPath, { recursive: true }))

/** A vitest run of the fixture on a "machine" where Docker is neither installed nor answers. */
async function runWithoutDocker(env: NodeJS.ProcessEnv): Promise<{ code: number | null; output: string }> {
  const config = join(import.meta.dirname, 'fixture.vitest.config.ts')
  const child = spawn(process.execPath, [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--no-color', '--config', config, '--root', ROOT], {
    env: { PATH: emptyPath, HOME: emptyPath, DOCKER_HOST: 'tcp://127.0.0.1:1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

test('a suite whose need is missing is left out, and the end of the run says so and how to cure it', async () => {
  const { code, output } = await runWithoutDocker({})
  expect(code).toBe(0)
  expect(output).toContain('LEFT OUT: 2 suites, because this machine lacks docker:')
  expect(output).toContain('  a suite with both [needs docker]')
  expect(output).toMatch(/docker: start Docker, .*apt-get install docker\.io/)
  expect(output).toMatch(/^1 passed, 0 failed, 2 skipped$/m)
})

test('under LONGSHORE_TEST_REQUIRE=all it fails instead', async () => {
  const { code, output } = await runWithoutDocker({ LONGSHORE_TEST_REQUIRE: 'all' })
  expect(code).toBe(1)
  expect(output).toMatch(/^1 passed, 2 failed, 0 skipped$/m)
  expect(output).toContain('this machine lacks docker: start Docker')
  expect(output).not.toContain('LEFT OUT')
})

test('the summary is silent about suites that were skipped for another reason', () => {
  expect(leftOutSummary(['a suite that somebody skipped'])).toBe('')
})

test('the summary names each missing need once', () => {
  const summary = leftOutSummary([`rooms${needsMark(['synapse'])}`, `cards${needsMark(['synapse', 'docker'])}`])
  expect(summary).toContain('LEFT OUT: 2 suites, because this machine lacks docker, synapse:')
  expect(summary.match(/^ {2}synapse: /gm)).toHaveLength(1)
})

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'longshore-worker-main-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

/** The worker as the supervisor starts it, and whatever it said. */
function start(env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [MAIN], { env: { PATH: process.env['PATH'] ?? '', LONGSHORE_HOME: home, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => said.push(text))
  const ended = new Promise<{ code: number | null; words: string }>((resolve) => child.once('close', (code) => resolve({ code, words: said.join('') })))
  return { child, ended, words: () => said.join('') }
}

test.each([
  [{}, 'REDIS_URL: not set; `npm start` sets it, or give the URL of a Redis\n'],
  [{ REDIS_URL: 'redis://127.0.0.1:1', WORKER_CONCURRENCY: 'many' }, 'WORKER_CONCURRENCY: got "many", allowed: a whole number from 1 to 500\n'],
  [{ REDIS_URL: 'redis://127.0.0.1:1', WORKSPACE_DIR: '/dev/null/workspaces' }, 'cannot use /dev/null/workspaces for workspaces'],
])('with %j it says what is wrong and exits with 1', async (env, words) => {
  const { code, words: said } = await start(env).ended
  expect(said).toContain(words)
  expect(code).toBe(1)
})

test('it serves health with each mode\'s state, stays under 150 MB when idle, and ends with 0 at SIGTERM', async () => {
  const env = {
    REDIS_URL: sharedRedisUrl(), LONGSHORE_DEPLOYMENT: `t-${randomBytes(6).toString('hex')}`, DOCKER_HOST: 'unix:///nowhere.sock', WORKER_NAME: 'a-worker',
    OPENCODE_SERVER_URL: 'http://127.0.0.1:1',
  }
  const { child, ended, words } = start(env)
  const port = await waitFor(() => /"health_port":(\d+)/.exec(words())?.[1], { what: 'the health listener' })
  const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}/${path}`)).text()
  const health = await waitFor(async () => {
    const body = await ask('health')
    return body.includes('not probed yet') ? undefined : body
  }, { what: 'the probes' })
  expect(JSON.parse(health)).toMatchObject({
    name: 'a-worker', slots: 3, running: 0, modes: [
      { mode: 'docker', ok: false, isolation: 'container', reason: expect.stringContaining('nowhere.sock') as string },
      { mode: 'opencode', ok: false, isolation: 'shared', reason: expect.stringContaining('does not answer') as string },
    ],
  })
  // The run's Redis keeps nothing on disk, which is for a worker to say, not to refuse.
  expect(await ask('ready')).toContain('"name":"aof","ok":false')
  expect(await ask('metrics')).toContain('longshore_claim_lost_total')
  if (process.platform === 'linux') await waitFor(async () => Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1]) < 150_000, { what: 'less than 150 MB' })
  child.kill('SIGTERM')
  expect((await ended).code).toBe(0)
})

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { sharedRedisUrl, waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'

function start(env: Record<string, string>): { child: ChildProcess; output: () => string; exited: Promise<number | null> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], { env: { PATH: process.env['PATH'], LONGSHORE_DEPLOYMENT: 'c-main', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return { child, output: () => output, exited: once(child, 'exit').then(([code]) => code as number | null) }
}

test('the process serves, and exits 0 on SIGTERM', async () => {
  const { child, output, exited } = start({ REDIS_URL: sharedRedisUrl(), CONSOLE_PORT: '0' })
  await waitFor(() => output().includes('console is up'), { what: 'the console' })
  const url = `http://127.0.0.1:${/"port":(\d+)/.exec(output())?.[1]}`
  expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ status: 'ok', app: 'console' })
  expect(await (await fetch(`${url}/ready`)).json()).toMatchObject({ checks: expect.arrayContaining([{ name: 'redis', ok: true, detail: 'reachable and writable' }]) as unknown })
  child.kill('SIGTERM')
  expect(await exited).toBe(0)
})

test('a missing Redis, a bad setting and a taken port are one clear line and exit code 1', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const port = String((taken.address() as { port: number }).port)
  const faults = [
    [{}, 'REDIS_URL: not set'],
    [{ REDIS_URL: sharedRedisUrl(), QUEUES_WRITABLE: 'perhaps' }, 'QUEUES_WRITABLE: got "perhaps", allowed: true or false'],
    [{ REDIS_URL: sharedRedisUrl(), CONSOLE_PORT: port }, `CONSOLE_PORT: cannot listen on 127.0.0.1:${port}`],
  ] as const
  for (const [env, words] of faults) {
    const { output, exited } = start(env)
    expect([await exited, output()]).toEqual([1, expect.stringContaining(words)])
  }
  taken.close()
})

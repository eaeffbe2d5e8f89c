import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { GaveUp, type Program, supervise, type Supervised } from './supervise.ts'

let dir: string
let running: Supervised[] = []
let strays: ChildProcess[] = []

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'longshore-supervise-'))
})

afterEach(async () => {
  for (const one of running) await one.stop()
  for (const stray of strays) stray.kill('SIGKILL')
  running = []
  strays = []
  await rm(dir, { recursive: true, force: true })
})

/** A small program that leaves its pid in a file; `up` is written when it is ready. */
async function program(code: string, more: Partial<Program> = {}): Promise<Program> {
  const script = join(dir, `${Math.random().toString(36).slice(2)}.mjs`)
  await writeFile(script, `import fs from 'node:fs'\nconst dir = ${JSON.stringify(dir)}\nfs.appendFileSync(dir + '/pids', process.pid + '\\n')\n${code}`)
  return { name: 'small', script, env: {}, startMs: 60_000, stopMs: 30_000, isReady: () => Promise.resolve(existsSync(join(dir, 'up'))), ...more }
}

const READY = "fs.writeFileSync(dir + '/up', '')\nsetInterval(() => {}, 1000)\n"

function watched(one: Program) {
  const told: string[] = []
  const supervised = supervise(one, {
    line: (_program, line) => told.push(line),
    restarting: (_program, why) => told.push(`restarting: ${why}`),
    back: () => told.push('back'),
  })
  running.push(supervised)
  return { supervised, told }
}

const pids = async (file = 'pids'): Promise<number[]> => (await readFile(join(dir, file), 'utf8')).trim().split('\n').map(Number)

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('a program that dies is started again, and it is said', async () => {
  const { supervised, told } = watched(await program(READY))
  await supervised.ready
  const [first = 0] = await pids()
  process.kill(first, 'SIGKILL')
  await waitFor(() => told.includes('back'), { what: 'word of it' })
  expect(told).toContain('restarting: stopped by itself (SIGKILL)')
  const [, second = 0] = await waitFor(async () => (await pids()).length === 2 ? pids() : undefined, { what: 'the second start' })
  expect(isAlive(second)).toBe(true)
})

test('a program that cannot start is given up, with its last words', async () => {
  const { supervised, told } = watched(await program("console.error('cannot read the map')\nprocess.exit(3)\n"))
  await expect(supervised.gaveUp).rejects.toThrow(GaveUp)
  await expect(supervised.gaveUp).rejects.toThrow('small did not start (exit code 3), 5 times in a row. Its last lines:\ncannot read the map')
  expect(told.filter((line) => line.startsWith('restarting'))).toHaveLength(4)
})

test('a program that never becomes ready is killed and started again', async () => {
  const { told } = watched(await program("process.on('SIGTERM', () => {})\nsetInterval(() => {}, 1000)\n", { startMs: 5_000, stopMs: 200 }))
  const [first = 0] = await waitFor(pids, { what: 'the first start' })
  await waitFor(() => !isAlive(first), { what: 'its end' })
  await waitFor(() => told.length > 0, { what: 'word of it' })
  expect(told[0]).toBe('restarting: was not ready within 5 s')
})

test('stop lets a program finish what it does', async () => {
  const { supervised, told } = watched(await program(`process.on('SIGTERM', () => setTimeout(() => { console.log('finished'); process.exit(0) }, 300))\n${READY}`))
  await supervised.ready
  await supervised.stop()
  expect(told).toEqual(['finished'])
})

test('a program that does not stop is killed in time', async () => {
  const { supervised } = watched(await program(`process.on('SIGTERM', () => {})\n${READY}`, { stopMs: 200 }))
  await supervised.ready
  const begun = performance.now()
  await supervised.stop()
  expect(performance.now() - begun).toBeLessThan(5_000)
  expect((await pids()).filter(isAlive)).toEqual([])
})

test('what a program started and left in its group ends with it', async () => {
  const { supervised } = watched(await program(`import { spawn } from 'node:child_process'
const child = spawn('sleep', ['600'], { stdio: 'ignore' })
fs.writeFileSync(dir + '/grandchild', String(child.pid))
${READY}`))
  await supervised.ready
  await supervised.stop()
  const [grandchild = 0] = await pids('grandchild')
  expect(grandchild).toBeGreaterThan(1)
  await waitFor(() => !isAlive(grandchild), { what: 'the end of the grandchild' })
})

test('stopped while it waits to start again, it stays down', async () => {
  const { supervised, told } = watched(await program('process.exit(1)\n'))
  await waitFor(() => told.length > 0, { what: 'the first failure' })
  await supervised.stop()
  const starts = (await pids()).length
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect(await pids()).toHaveLength(starts)
})

test('when the supervisor is killed, its programs end by themselves', async () => {
  const small = await program(`process.on('SIGTERM', () => { fs.writeFileSync(dir + '/told', ''); process.exit(0) })\n${READY}`)
  const host = join(dir, 'host.mjs')
  await writeFile(host, `import { startChild } from ${JSON.stringify(new URL('child.ts', import.meta.url).href)}
startChild({ script: ${JSON.stringify(small.script)}, env: {}, onLine: () => {} })
setInterval(() => {}, 1000)
`)
  const supervisor = spawn(process.execPath, [host], { stdio: 'ignore' })
  strays.push(supervisor)
  await waitFor(() => existsSync(join(dir, 'up')), { what: 'the program to be up' })
  supervisor.kill('SIGKILL')
  const [pid = 0] = await pids()
  await waitFor(() => !isAlive(pid), { what: 'the end of the program' })
  expect(existsSync(join(dir, 'told'))).toBe(true)
})

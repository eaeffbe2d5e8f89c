import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@longshore/redis-server'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { longshore, type RunningCommand, runLongshore, runNpmStart } from '../testing/run-longshore.ts'

// The whole stack for real: Redis, gateway, worker, notifier, console, the scripted model, and OpenCode for the sample.
const START_MS = 90_000

let folder: string
let stacks: RunningCommand[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-up-'))
})
afterEach(async () => {
  for (const stack of stacks) stack.signal('SIGTERM')
  await Promise.all(stacks.map((stack) => stack.ended))
  stacks = []
  await rm(folder, { recursive: true, force: true })
})

async function settings(name: string, more: Record<string, string> = {}): Promise<Record<string, string>> {
  // No user's home, so that no login of theirs decides the model.
  return { LONGSHORE_HOME: join(folder, name), HOME: folder, MCP_PORT: String(await freePort()), CONSOLE_PORT: String(await freePort()), DRAIN_GRACE_MS: '1000', LONGSHORE_MODEL: 'scripted', ...more }
}

function start(env: Record<string, string>): RunningCommand {
  const stack = runLongshore(['up'], env)
  stacks.push(stack)
  return stack
}

async function untilSaid(stack: RunningCommand, text: string): Promise<void> {
  await waitFor(() => stack.said().includes(text) || stack.isOver(), { what: `"${text}"`, timeoutMs: START_MS })
  if (!stack.said().includes(text)) throw new Error(`it ended with ${String(await stack.ended)}:\n${stack.said()}\n${stack.complained()}`)
}

/** Processes in whose environment, command line or working directory this home stands: everything a stack starts. */
async function processesOf(home: string): Promise<string[]> {
  const entries = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  const found = await Promise.all(entries.map(async (pid) => {
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
    const [environment, command] = [await read('environ'), await read('cmdline')]
    const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(() => '')
    return [environment, command, workingDirectory].some((text) => text.includes(home)) ? [`${pid} ${command.replaceAll('\0', ' ')}`] : []
  }))
  return found.flat()
}

describeNeeding('opencode', 'a stack', () => {
  test('G12: a first start shows a sample task from submit to result; a second one knows it; stopping leaves nothing, also of agents at work, and they go on with the next', { timeout: 6 * START_MS }, async () => {
    const env = await settings('home')
    const home = env['LONGSHORE_HOME'] ?? ''
    const first = start(env)
    await untilSaid(first, "The agent's last words: ")
    expect(first.said()).toContain('Longshore is ready.\n')
    expect(first.said()).toMatch(/ \d+ {2}file_changed .*hello\.txt\n/)
    expect(first.said()).toMatch(/Completed in [\d.]+ s\. The agent's last words: .*Done: hello\.txt is in the workspace\.\n/)
    const keys = await Promise.all(['agent', 'operator'].map(async (role) => (await readFile(join(home, 'keys', role), 'utf8')).trim()))
    const running = await processesOf(home)
    for (const part of ['main.ts up', 'redis', 'apps/gateway', 'apps/worker', 'apps/notifier', 'apps/console', 'scripted-provider']) expect(running.join('\n')).toContain(part)
    for (const secret of [...keys, (await readFile(join(home, 'redis/password'), 'utf8')).trim()]) expect(running.join('\n')).not.toContain(secret)
    expect((await longshore(['list'], { LONGSHORE_HOME: home })).said).toMatch(/task-\w+ {2}completed/)
    expect((await longshore(['keys', 'list'], { LONGSHORE_HOME: home })).said).toContain('(operator)')
    expect((await longshore(['up'], { ...env, MCP_PORT: '0', CONSOLE_PORT: '0' })).complained).toContain('already runs')

    first.signal('SIGINT')
    expect(await first.ended).toBe(0)
    expect(first.complained()).toBe('')
    expect(await processesOf(home)).toEqual([])

    const second = start(env)
    await untilSaid(second, 'Longshore is ready. 1 task known from before.')
    expect(second.said()).not.toContain('sample')
    for (let i = 0; i < 3; i++) expect((await longshore(['submit', 'long work [[bash sleep 6077]]'], { LONGSHORE_HOME: home })).code).toBe(0)
    await waitFor(async () => (await processesOf(home)).filter((line) => /^\d+ sleep 6077/.test(line)).length === 3, { what: 'the agents to run their commands', timeoutMs: START_MS })
    second.signal('SIGTERM')
    expect(await second.ended).toBe(0)
    expect(await processesOf(home)).toEqual([])

    // G12: what was at work goes on where it was: the command that was cut off is behind it, not before it.
    const third = start(env)
    await untilSaid(third, 'Longshore is ready. 4 tasks known from before.')
    const list = async () => (await longshore(['list'], { LONGSHORE_HOME: home })).said
    await waitFor(async () => (await list()).match(/completed/g)?.length === 4, { what: 'the tasks to be resumed and completed', timeoutMs: START_MS })
    const [id = ''] = /task-\w+(?= .*long work)/.exec(await list()) ?? []
    expect((await longshore(['watch', id], { LONGSHORE_HOME: home })).said).toMatch(/ resumed [^]*goes on/)
  })

  test('two stacks run side by side; one that is killed leaves no program and does not disturb the other', { timeout: 4 * START_MS }, async () => {
    const [one, two] = [await settings('one', { LONGSHORE_SAMPLE: '0' }), await settings('two', { LONGSHORE_SAMPLE: '0' })]
    const [first, second] = [start(one), start(two)]
    await Promise.all([untilSaid(first, 'Longshore is ready.'), untilSaid(second, 'Longshore is ready.')])
    first.signal('SIGKILL')
    await waitFor(async () => (await processesOf(one['LONGSHORE_HOME'] ?? '')).every((line) => line.includes('redis')), { what: 'the end of its programs' })
    expect((await longshore(['health'], { LONGSHORE_HOME: two['LONGSHORE_HOME'] ?? '' })).said).toMatch(/status +healthy/)
    const again = start(one)
    await untilSaid(again, 'Longshore is ready.')
    again.signal('SIGTERM')
    expect(await again.ended).toBe(0)
    expect(await processesOf(one['LONGSHORE_HOME'] ?? '')).toEqual([])
  })

  test('a program that is killed is started again, and the stack goes on', { timeout: 2 * START_MS }, async () => {
    const env = await settings('home', { LONGSHORE_SAMPLE: '0' })
    const stack = start(env)
    await untilSaid(stack, 'Longshore is ready.')
    const gateway = (await processesOf(env['LONGSHORE_HOME'] ?? '')).find((line) => line.includes('apps/gateway'))
    process.kill(Number(gateway?.split(' ')[0]), 'SIGKILL')
    await untilSaid(stack, 'runs again')
    expect(stack.said()).toMatch(/gateway +stopped by itself \(SIGKILL\); starting it again in 0\.3 s\n/)
    // Its port answers before its connection to Redis stands.
    await waitFor(async () => (await longshore(['list'], { LONGSHORE_HOME: env['LONGSHORE_HOME'] ?? '' })).said.includes('No tasks yet'), { what: 'the new gateway to answer', timeoutMs: START_MS })
  })

  // npm passes a signal on to its shell only: the stack must be what npm takes for its shell.
  test.each(['SIGINT', 'SIGTERM'] as const)('npm start that gets %s ends with exit code 0 and leaves nothing', { timeout: 3 * START_MS }, async (signal) => {
    const env = await settings('home', { LONGSHORE_SAMPLE: '0', HOME: process.env['HOME'] ?? folder })
    const npm = runNpmStart(env)
    stacks.push(npm)
    await untilSaid(npm, 'Longshore is ready.')
    npm.signal(signal)
    expect(await npm.ended).toBe(0)
    expect(npm.said()).toContain('Stopped. Tasks are kept in ')
    expect(await processesOf(env['LONGSHORE_HOME'] ?? '')).toEqual([])
  })
})

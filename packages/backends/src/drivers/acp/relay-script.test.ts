import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LINE_END, relayed } from './relay-script.ts'

let folder: string
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'longshore-relay-')) })
afterEach(() => rm(folder, { recursive: true, force: true }))

/** An agent that answers each line with its length, and says something on stderr. */
const AGENT = ['sh', '-c', 'printf "no newline yet" >&2; while read -r line; do echo "got ${#line}"; echo "heard $line" >&2; [ "$line" = bye ] && exit 7; done; echo "stdin ended"']

function run(): { write(text: string): void; out(): string; err(): string; exit: Promise<number | null>; kill(): void } {
  const [command = '', ...args] = relayed(AGENT, 30)
  const child = spawn(command, args, { cwd: folder })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { err += chunk.toString() })
  return { write: (text) => void child.stdin.write(text), out: () => out, err: () => err, exit: new Promise((resolve) => child.on('close', resolve)), kill: () => void child.kill() }
}

test('gives the agent whole lines, keeps a journal of them, and ends with the agent', async () => {
  const relay = run()
  const long = 'x'.repeat(300_000)
  relay.write(`${long}${LINE_END}# mark-1${LINE_END}`)
  await waitFor(() => relay.err().includes('> # mark-1\n'), { what: 'the mark' })
  await waitFor(() => relay.out() === 'got 300000\n', { what: 'the answer' })
  expect(relay.err().split('\n').filter((line) => line.startsWith('> '))).toEqual([`> ${'x'.repeat(200)}`, '> # mark-1'])

  relay.write(`a line whose writer died`)
  relay.write(`\n# mark-2${LINE_END}bye${LINE_END}`) // its successor begins with a newline
  expect(await relay.exit).toBe(7)
  expect(relay.out()).toBe('got 300000\ngot 3\n')
  expect(relay.err()).toContain('! heard bye\n')
  expect(relay.err()).not.toContain('writer died')
})

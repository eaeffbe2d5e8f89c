import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { longshore } from './testing/run-longshore.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'longshore-main-'))
  return () => rm(home, { recursive: true, force: true })
})

test('--help says what there is, on standard output, with exit code 0', async () => {
  const { code, said, complained } = await longshore(['--help'])
  expect({ code, complained }).toEqual({ code: 0, complained: '' })
  for (const name of ['up', 'submit', 'watch', 'status', 'list', 'tell', 'cancel', 'pause', 'resume', 'rollout set', 'keys make', 'health', 'usage', 'workers', 'drain', 'poisoned', 'replay', 'audit', 'settings']) expect(said).toContain(`  ${name}`)
})

test('a reader that has read enough is no fault', () => {
  const { stderr, stdout } = spawnSync('sh', ['-c', '{ "$0" "$1" settings; echo "code $?" >&2; } | head -c 0', process.execPath, join(import.meta.dirname, 'main.ts')], { encoding: 'utf8' })
  expect({ stderr, stdout }).toEqual({ stderr: 'code 0\n', stdout: '' })
})

test('an unknown command is one line on standard error, with exit code 1', async () => {
  expect(await longshore(['sumbit', 'x'])).toEqual({ code: 1, said: '', complained: 'There is no command "sumbit". See: longshore --help\n' })
})

test('help needs no sound settings; everything else names the variable, what it got and what is allowed', async () => {
  const env = { MCP_PORT: 'many', LONGSHORE_API_KEY: 'short', LONGSHORE_HOME: home }
  expect((await longshore(['up', '--help'], env)).code).toBe(0)
  const { code, said, complained } = await longshore(['up'], env)
  expect({ code, said }).toEqual({ code: 1, said: '' })
  expect(complained.trim().split('\n')).toEqual([
    'LONGSHORE_API_KEY: got a value that is not shown, allowed: at least 16 characters',
    'MCP_PORT: got "many", allowed: a whole number from 0 to 65535',
  ])
})

test('up with a taken port: one line, exit code 1, nothing started', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => void taken.listen(0, '127.0.0.1', resolve))
  const port = String((taken.address() as AddressInfo).port)
  const { code, said, complained } = await longshore(['up'], { LONGSHORE_HOME: home, MCP_PORT: '0', CONSOLE_PORT: port })
  taken.close()
  expect({ code, said }).toEqual({ code: 1, said: '' })
  expect(complained).toMatch(new RegExp(`^CONSOLE_PORT: port ${port} on 127\\.0\\.0\\.1 is taken\\. [^\\n]*\\n$`))
})

test('up with a home that cannot be written: one line, exit code 1', async () => {
  await writeFile(join(home, 'file'), '')
  const { code, said, complained } = await longshore(['up'], { LONGSHORE_HOME: join(home, 'file/home') })
  expect({ code, said }).toEqual({ code: 1, said: '' })
  expect(complained).toMatch(/^LONGSHORE_HOME: cannot write to \S+ \(a part of the path is a file\)\. [^\n]*\n$/)
})

test('up with a REDIS_URL where nobody answers: one line without the password, exit code 1', async () => {
  const { code, complained } = await longshore(['up'], { LONGSHORE_HOME: home, MCP_PORT: '0', CONSOLE_PORT: '0', REDIS_URL: 'redis://:sesame@127.0.0.1:1' })
  expect(code).toBe(1)
  expect(complained).toMatch(/^REDIS_URL: no Redis answers at 127\.0\.0\.1:1 \([^\n]*\n$/)
  expect(complained).not.toContain('sesame')
})

test('without a running stack the commands say how to start one', async () => {
  const list = await longshore(['list'], { LONGSHORE_HOME: home })
  expect(list).toMatchObject({ code: 1, said: '', complained: expect.stringContaining('There is no operator key') as string })
  const keys = await longshore(['keys', 'list'], { LONGSHORE_HOME: home })
  expect(keys).toMatchObject({ code: 1, said: '', complained: 'No Redis runs for this LONGSHORE_HOME. Start Longshore with "npm start", or set REDIS_URL.\n' })
  const away = await longshore(['list', '--url', 'http://127.0.0.1:1'], { LONGSHORE_HOME: home, LONGSHORE_API_KEY: 'an-operators-key-1' })
  expect(away).toMatchObject({ code: 1, said: '', complained: expect.stringMatching(/^No gateway answers at http:\/\/127\.0\.0\.1:1\. Start Longshore with "npm start"/) as string })
})

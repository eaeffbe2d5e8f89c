import { execFile } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { filesToSend, splitName } from './files-to-send.ts'
import { type GatewayProcess, startGateway } from './testing/gateway-process.ts'
import { longshore } from './testing/run-longshore.ts'

let folder: string
let gateway: GatewayProcess
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-send-'))
  await writeFile(join(folder, 'a.bin'), Buffer.from([0, 255]))
  gateway = await startGateway()
})
afterAll(async () => {
  await gateway.stop()
  await rm(folder, { recursive: true, force: true })
})

test.each([
  ['a.txt', 'a.txt', 'a.txt'], ['src/a.txt', 'src/a.txt', 'src/a.txt'], ['./src//a.txt', './src//a.txt', 'src/a.txt'], ['../up/a.txt', '../up/a.txt', 'a.txt'], ['/etc/a.txt', '/etc/a.txt', 'a.txt'],
  ['/x/a.txt:deep/b.txt', '/x/a.txt', 'deep/b.txt'], ['a:b:c', 'a:b', 'c'],
])('--file %s', (name, local, path) => {
  expect(splitName(name)).toEqual({ local, path })
})

test.each([':', 'a:', ':a', ''])('--file %j is refused', (name) => {
  expect(() => splitName(name)).toThrow('LOCAL:PATH')
})

test('what cannot be sent is named', async () => {
  await writeFile(join(folder, 'large'), '')
  await truncate(join(folder, 'large'), 1024 * 1024)
  await promisify(execFile)('mkfifo', [join(folder, 'pipe')])
  await expect(filesToSend([join(folder, 'none')])).rejects.toThrow('none" cannot be read (ENOENT)')
  await expect(filesToSend([folder])).rejects.toThrow('is no file')
  await expect(filesToSend([join(folder, 'pipe')])).rejects.toThrow('is no file')
  await expect(filesToSend([join(folder, 'a.bin'), join(folder, 'large')])).rejects.toThrow('large" is too large')
})

test('files go along with a submit, and the status names them', async () => {
  const run = (...args: string[]) => longshore(args, gateway.env)
  const file = join(folder, 'a.bin')
  const { said } = await run('submit', 'x', '--mode', 'opencode', '--workspace', 'app', '--file', file, '--file', `${file}:deep/b.bin`, '--json')
  const { task_id: id } = JSON.parse(said) as { task_id: string }
  const status = await run('status', id, '--json')
  expect(JSON.parse(status.said)).toMatchObject({ workspace: { name: 'app', files: { count: 2, bytes: 4 } }, sent_files: [{ path: 'a.bin', size: 2 }, { path: 'deep/b.bin', size: 2 }] })
  expect((await run('status', id)).said).toMatch(/sent +a\.bin \(2 bytes\), deep\/b\.bin \(2 bytes\)\n/)
  expect(await run('submit', 'x', '--mode', 'opencode', '--file', `${file}:.git/config`)).toMatchObject({ code: 1, complained: expect.stringContaining('workspace.files[0].path: got ".git/config"') as string })
})

import { chmod, chown, link, mkdir, open as openFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { LongshoreError } from '@longshore/contracts'
import { afterEach, describe, expect, test } from 'vitest'
import { openTaskFile } from './read-file.ts'
import { makePipe, makeWorkspace, swapUntil, type TestWorkspace } from './testing-workspace.ts'

const open: TestWorkspace[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.remove()
})
async function make(): Promise<TestWorkspace> {
  const made = await makeWorkspace()
  open.push(made)
  return made
}

async function read({ workspace }: TestWorkspace, path: string, position = 0, length = 65_536): Promise<string> {
  const { handle } = await openTaskFile(workspace, path)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}

async function refusal(task: TestWorkspace, path: string): Promise<LongshoreError> {
  const refused = await read(task, path).then((said) => new Error(`was read: ${said}`), (thrown: unknown) => thrown)
  if (!(refused instanceof LongshoreError)) throw refused
  return refused
}

const openDescriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length

describe('a file of a workspace (L-39)', () => {
  test('is read in slices, with its size, whatever it is called', async () => {
    const task = await make()
    await task.put('dir/a b.txt', 'hello')
    await task.put('..hidden/%2e%2e\\x', 'odd')
    expect(await read(task, './dir//a b.txt', 1, 3)).toBe('ell')
    expect(await read(task, '..hidden/%2e%2e\\x')).toBe('odd')
    const { handle, ...rest } = await openTaskFile(task.workspace, 'dir/a b.txt')
    await handle.close()
    expect(rest).toMatchObject({ size: 5, head: Buffer.from('hello') })
  })

  test.each([
    ['../outside/secret', 'climbs'], ['dir/../../outside/secret', 'climbs'], ['..', 'climbs'], ['/etc/passwd', 'absolute'], ['a\0b', 'NUL'], ['', 'names no file'], ['/', 'names no file'],
    ['.', 'names no file'], [`${'a/'.repeat(2_100)}x`, 'longer'], ['\uD800', 'well-formed'],
  ])('is refused readably: %j %s', async (path, why) => {
    expect(await refusal(await make(), path)).toMatchObject({ code: 'invalid_input', field: 'file_path', message: expect.stringContaining(why) as string, next: expect.any(String) as string })
  })

  test.each(['%2e%2e/outside/secret', '..%2foutside%2fsecret', '..\\outside\\secret', 'n'.repeat(300), 'no/such', 'file/beneath'])('that is not there is not found: %j', async (path) => {
    const task = await make()
    await task.put('file', 'x')
    expect(await refusal(task, path)).toMatchObject({ code: 'file_not_found', field: 'file_path' })
  })

  test('that is a link, a pipe, a socket, a device or a folder is refused at once, and no descriptor stays open', async () => {
    const task = await make()
    await symlink(join(task.outside, 'secret'), task.at('link'))
    await symlink(task.outside, task.at('away'))
    await symlink('/dev/zero', task.at('zero'))
    await makePipe(task.at('pipe'))
    await mkdir(task.at('folder'))
    const socket = createServer()
    await new Promise<void>((resolve) => socket.listen(task.at('socket'), resolve))
    const before = await openDescriptors()
    for (const [path, why] of [['link', 'link'], ['away/secret', 'link'], ['zero', 'link'], ['pipe', 'regular'], ['socket', 'regular'], ['folder', 'folder']] as const) {
      expect(await refusal(task, path)).toMatchObject({ code: 'invalid_input', message: expect.stringContaining(why) as string })
    }
    expect(await openDescriptors()).toBe(before)
    await new Promise((resolve) => socket.close(resolve))
  })

  test('is never one from outside while its folder is swapped for a link, or it for a link', async () => {
    const task = await make()
    await task.put('d/secret', 'mine\n')
    await task.put('f', 'mine\n')
    await symlink(task.outside, task.at('to-folder'))
    await symlink(join(task.outside, 'secret'), task.at('to-file'))
    const swaps = [await swapUntil(task.at('d'), task.at('to-folder')), await swapUntil(task.at('f'), task.at('to-file'))]
    const said = new Map<string, number>()
    for (let i = 0; i < 2_000; i += 1) {
      for (const path of ['d/secret', 'f']) {
        const answer = await read(task, path).catch((thrown: unknown) => (thrown as LongshoreError).code)
        said.set(answer, (said.get(answer) ?? 0) + 1)
      }
    }
    for (const one of swaps) await one.stop()
    expect([...said.keys()].sort()).toEqual(['file_not_found', 'invalid_input', 'mine\n'])
  })

  test.runIf(process.getuid?.() === 0)('of another user is read when everybody may read it, and a hard link to more is refused', async () => {
    const task = await make()
    await chown(task.workspace.repo, 65_534, 65_534)
    await chmod(join(task.outside, 'secret'), 0o600)
    await link(join(task.outside, 'secret'), task.at('grabbed'))
    expect(await refusal(task, 'grabbed')).toMatchObject({ code: 'invalid_input', message: expect.stringContaining('another user') as string })
    // Nor when nobody else holds it any more.
    await rm(join(task.outside, 'secret'))
    expect(await refusal(task, 'grabbed')).toMatchObject({ code: 'invalid_input' })
    await chmod(task.at('grabbed'), 0o644)
    expect(await read(task, 'grabbed')).toBe('TOP SECRET\n')
    await chown(task.at('grabbed'), 65_534, 65_534)
    await chmod(task.at('grabbed'), 0o600)
    expect(await read(task, 'grabbed')).toBe('TOP SECRET\n')
  })

  test.runIf(existsSync('/usr/bin/perl'))('that a program of the agent holds a lease on is refused readably', async () => {
    const task = await make()
    await task.put('leased', 'x')
    const lease = '$SIG{IO} = "IGNORE"; open(F, "+<", $ARGV[0]) or die; fcntl(F, 1024, 1) or die; $| = 1; print "leased"; sleep 60'
    const holder = spawn('/usr/bin/perl', ['-e', lease, task.at('leased')], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(holder.stdout, 'data')
    expect(await refusal(task, 'leased')).toMatchObject({ code: 'invalid_input', message: expect.stringContaining('held') as string })
    holder.kill('SIGKILL')
    await once(holder, 'exit')
  })

  test('of 400 MB, or one with holes of a terabyte, is read in slices with flat memory', async () => {
    const task = await make()
    await task.put('large', '')
    await truncate(task.at('large'), 1024 ** 4)
    const at = 400 * 1024 * 1024
    const file = await openFile(task.at('large'), 'r+')
    await file.write('here', at)
    await file.close()
    const before = process.memoryUsage().rss
    for (let position = 0; position < at; position += 1024 * 1024) expect(await read(task, 'large', position, 1024 * 1024)).toHaveLength(1024 * 1024)
    expect(await read(task, 'large', at, 4)).toBe('here')
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
  })

  test('is read where the workspace stands behind a link of the operator, not behind one of the agent', async () => {
    const task = await make()
    await task.put('a', 'x')
    const storage = join(task.outside, 'storage-link')
    await symlink(join(task.workspace.directory, '..'), storage)
    const directory = join(storage, `task-${'a'.repeat(26)}`)
    const linked = { ...task, workspace: { ...task.workspace, directory, repo: join(directory, 'repo') } }
    expect(await read(linked, 'a')).toBe('x')
    await rm(task.workspace.repo, { recursive: true })
    await symlink(task.outside, task.workspace.repo)
    await writeFile(join(task.outside, 'a'), 'outside')
    await expect(read(task, 'a')).rejects.toThrow(/ENOTDIR|ELOOP/)
  })
})

import { execFile } from 'node:child_process'
import { appendFile, chmod, link, lstat, mkdir, mkdtemp, open, readdir, readFile, readlink, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { archiveWorkspace, type Archived } from './archive.ts'
import { makePipe, makeWorkspace, swapUntil, type TestWorkspace } from './testing-workspace.ts'

let made: TestWorkspace
let into: string
beforeEach(async () => {
  made = await makeWorkspace()
  into = await mkdtemp(join(tmpdir(), 'longshore-untar-'))
})
afterEach(async () => {
  await made.remove()
  await rm(into, { recursive: true, force: true })
})

const { signal } = new AbortController()
const run = promisify(execFile)

/** Writes the archive, and unpacks it with the system's tar. */
async function unpack(more: Partial<Parameters<typeof archiveWorkspace>[1]> = {}): Promise<{ entries: Archived[]; tar: Buffer }> {
  const entries: Archived[] = []
  const pieces: Buffer[] = []
  for await (const piece of archiveWorkspace(made.workspace, { prefix: 'task', signal, onEntry: (entry) => void entries.push(entry), ...more })) pieces.push(piece)
  const tar = Buffer.concat(pieces)
  await writeFile(join(into, 'a.tar'), tar)
  await run('tar', ['-xf', 'a.tar'], { cwd: into, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } })
  return { entries, tar }
}

const unpacked = (path: string) => readFile(join(into, 'task', path), 'utf8')
const note = () => readFile(join(into, 'task.left-out.txt'), 'utf8')

describe('an archive', () => {
  test('holds files, folders and links; tar unpacks it, and offsets lead to contents', async () => {
    await made.put('a/b.txt', 'one')
    await made.put('run.sh', '#!/bin/sh\n')
    await made.put('empty', '')
    await chmod(made.at('run.sh'), 0o4755)
    await mkdir(made.at('folder'))
    await symlink('a/b.txt', made.at('to-b'))
    await symlink(join(made.outside, 'secret'), made.at('out'))
    const { entries, tar } = await unpack()
    expect(await unpacked('a/b.txt')).toBe('one')
    expect(await unpacked('empty')).toBe('')
    expect((await lstat(join(into, 'task', 'run.sh'))).mode & 0o7777).toBe(0o755)
    expect(await readlink(join(into, 'task', 'out'))).toBe(join(made.outside, 'secret'))
    expect(tar.includes('TOP SECRET')).toBe(false)
    expect(entries.map(({ name, type }) => `${name} ${type}`)).toEqual(['a directory', 'a/b.txt file', 'empty file', 'folder directory', 'out symlink', 'run.sh file', 'to-b symlink'])
    const file = entries.find(({ name }) => name === 'a/b.txt')
    expect(tar.subarray(file?.offset, (file?.offset ?? 0) + 3).toString()).toBe('one')
    expect(await readdir(into)).not.toContain('task.left-out.txt')
  })

  test.each([
    ['a newline', 'a\nb'], ['an escape', 'red \u001B[31m'], ['a name that looks like an option', '--checkpoint=1'], ['beyond ASCII', 'äöü €'], ['200 bytes', 'n'.repeat(200)],
    ['a backslash and quotes', '\\"\''], ['a space at its end', 'end '],
  ])('names survive: %s', async (_, name) => {
    await made.put(`${name}/${name}`, 'content')
    await symlink(name, made.at(`link to ${name.slice(0, 50)}`))
    await unpack()
    expect(await unpacked(`${name}/${name}`)).toBe('content')
    expect(await readlink(join(into, 'task', `link to ${name.slice(0, 50)}`))).toBe(name)
  })

  test('a name that is not UTF-8 keeps its bytes', async () => {
    const name = Buffer.from([0x66, 0xff, 0xfe])
    await writeFile(Buffer.concat([Buffer.from(made.at('x').slice(0, -1)), name]), 'bytes')
    await unpack()
    expect(await readdir(join(into, 'task'), { encoding: 'buffer' })).toEqual([name])
  })

  test('special files are left out and named; hard links are files; a .git is left out', async () => {
    await makePipe(made.at('pipe'))
    await made.put('.git/config', '[core]\n\tfsmonitor = touch /tmp/owned\n')
    await made.put('sub/.git/config', 'x')
    await made.put('kept', 'kept')
    await link(made.at('kept'), made.at('twin'))
    const { entries } = await unpack()
    expect((await readdir(join(into, 'task'))).toSorted()).toEqual(['kept', 'sub', 'twin'])
    expect(await readdir(join(into, 'task', 'sub'))).toEqual([])
    expect(await note()).toBe('"pipe" is no file, folder or link\n')
    expect(entries.find(({ name }) => name === 'pipe')).toMatchObject({ type: 'other', left: 'special' })
  })

  test('a sparse file of 400 MB is as large in it, in little memory', async () => {
    const file = await open(made.at('sparse'), 'w')
    await file.truncate(400 * 1024 * 1024)
    await file.close()
    const before = process.memoryUsage().rss
    let [bytes, most] = [0, 0]
    for await (const piece of archiveWorkspace(made.workspace, { prefix: 'task', signal })) {
      bytes += piece.length
      most = Math.max(most, process.memoryUsage().rss - before)
    }
    expect(bytes).toBeGreaterThan(400 * 1024 * 1024)
    expect(most).toBeLessThan(200 * 1024 * 1024)
  })

  test.each([
    ['grows', (path: string) => appendFile(path, 'x'.repeat(1_000_000))],
    ['shrinks', (path: string) => truncate(path, 10)],
  ])('a file that %s while it is read breaks nothing, and is named', async (_, change) => {
    await made.put('moving', 'm'.repeat(3_000_000))
    await made.put('neighbour', 'safe')
    const pieces: Buffer[] = []
    let isChanged = false
    for await (const piece of archiveWorkspace(made.workspace, { prefix: 'task', signal })) {
      pieces.push(piece)
      if (!isChanged && piece.includes('mmm')) {
        isChanged = true
        await change(made.at('moving'))
      }
    }
    await writeFile(join(into, 'a.tar'), Buffer.concat(pieces))
    await run('tar', ['-xf', 'a.tar'], { cwd: into })
    expect((await lstat(join(into, 'task', 'moving'))).size).toBe(3_000_000)
    expect(await unpacked('neighbour')).toBe('safe')
    expect(await note()).toContain('"moving" changed its size')
  })

  test('a folder and a file that are swapped for links out of the workspace never bring in what is there', async () => {
    await made.put('dir/secret', 'harmless')
    await made.put('secret', 'harmless')
    await symlink(made.outside, made.at('link-dir'))
    await symlink(join(made.outside, 'secret'), made.at('link-file'))
    const swaps = await Promise.all([swapUntil(made.at('dir'), made.at('link-dir')), swapUntil(made.at('secret'), made.at('link-file'))])
    try {
      for (let i = 0; i < 150; i++) {
        for await (const piece of archiveWorkspace(made.workspace, { prefix: 'task', signal })) expect(piece.includes('TOP SECRET')).toBe(false)
      }
    } finally {
      await Promise.all(swaps.map((swap) => swap.stop()))
    }
  })

  test('what does not fit the limit is left out and named', async () => {
    await made.put('a', 'x'.repeat(2_000))
    await made.put('b', 'small')
    const { entries } = await unpack({ admits: ({ size = 0 }) => size < 1_000 })
    expect(await readdir(join(into, 'task'))).toEqual(['b'])
    expect(entries[0]).toMatchObject({ name: 'a', left: 'quota' })
    expect(await note()).toBe('"a" does not fit into the limit\n')
  })
})

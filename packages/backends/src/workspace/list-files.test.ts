import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { waitFor } from '@longshore/testkit'
import { afterEach, describe, expect, test } from 'vitest'
import { type Entry, type FileList, listFiles, type ListQuery } from './list-files.ts'
import { modifiedAt } from './open-beneath.ts'
import { ownRoot } from './own-folder.ts'
import { makePipe, makeWorkspace, setTraps, swapUntil, type TestWorkspace } from './testing-workspace.ts'

const open: TestWorkspace[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.remove()
})
async function make(before?: (repo: string) => Promise<void>): Promise<TestWorkspace> {
  const made = await makeWorkspace(before)
  open.push(made)
  return made
}
const NEVER = new AbortController().signal
const list = ({ workspace }: TestWorkspace, query: Partial<ListQuery> = {}): Promise<FileList> => listFiles(workspace, { limit: 1_000, ...query }, NEVER)
const brief = ({ path, type, size, change }: Entry): string => [path, type, size, change].filter((part) => part !== undefined).join(' ')

async function inPages(task: TestWorkspace, limit: number): Promise<string[]> {
  const said: string[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const page: FileList = await list(task, { limit, ...(cursor === '' ? {} : { cursor }) })
    expect(page.files.length).toBeLessThanOrEqual(limit)
    said.push(...page.files.map(brief))
    cursor = page.next_cursor
  }
  return said
}

describe('the files of a task (L-39)', () => {
  test('are a tree with sizes, types and changes against the start, the same in pages of any size', async () => {
    const task = await make(async (repo) => {
      await mkdir(join(repo, 'old/deep'), { recursive: true })
      for (const name of ['same', 'edit', 'old/deep/drop', 'z-drop']) await writeFile(join(repo, name), name)
    })
    await task.put('edit', 'edited')
    await rm(task.at('old'), { recursive: true })
    await rm(task.at('z-drop'))
    await task.put('dir/new', '')
    await task.put('dir.d/x', 'x')
    await symlink('/etc', task.at('link'))
    await makePipe(task.at('pipe'))
    await mkdir(task.at('.git'))
    const page = await list(task)
    const all = page.files.map(brief)
    expect(all).toEqual([
      'dir directory', 'dir/new file 0 added', 'dir.d directory', 'dir.d/x file 1 added', 'edit file 6 modified', 'link symlink added',
      'old/deep/drop file deleted', 'pipe other', 'same file 4', 'z-drop file deleted',
    ])
    expect(page).toMatchObject({ truncated: false })
    for (const limit of [1, 2, 3, 9, 10, 11]) expect(await inPages(task, limit)).toEqual(all)
    expect((await list(task, { path: 'dir' })).files.map(brief)).toEqual(['dir directory', 'dir/new file 0 added'])
    expect((await list(task, { path: 'old' })).files.map(brief)).toEqual(['old/deep/drop file deleted'])
    expect((await list(task, { path: '/' })).files).toHaveLength(10)
  })

  test('that are named with newlines, terminal escapes, HTML or bytes that are no UTF-8 are data', async () => {
    const task = await make()
    const names = ['<img src=x onerror=alert(1)>', '\u001B[2J\u202Etxt', 'line\nbreak', '-rf', '"quoted"']
    for (const name of names) await task.put(name, 'x')
    await writeFile(Buffer.concat([Buffer.from(`${task.workspace.repo}/`), Buffer.from('caf\xe9', 'latin1')]), 'x')
    const { files } = await list(task)
    expect(files.filter(({ inexact }) => inexact === undefined).map(({ path }) => path).sort()).toEqual(names.toSorted())
    expect(files.find(({ inexact }) => inexact)).toMatchObject({ path: 'caf\uFFFD', type: 'file', change: 'added' })
    expect(files.every(({ change }) => change === 'added')).toBe(true)
    expect(await inPages(task, 1)).toHaveLength(6)
  })

  test('of a path that climbs are refused, of one that is a link are not followed, of none are not found', async () => {
    const task = await make()
    await symlink(task.outside, task.at('away'))
    await expect(list(task, { path: '../outside' })).rejects.toMatchObject({ code: 'invalid_input', field: 'path' })
    await expect(list(task, { path: 'no/such' })).rejects.toMatchObject({ code: 'file_not_found', field: 'path' })
    await expect(list(task, { path: 'away/secret' })).rejects.toMatchObject({ code: 'invalid_input' })
    expect((await list(task, { path: 'away' })).files.map(brief)).toEqual(['away symlink added'])
  })

  test('never name what lies outside while a folder is swapped for a link', async () => {
    const task = await make()
    await task.put('d/mine', '')
    await symlink(task.outside, task.at('link'))
    const swapping = await swapUntil(task.at('d'), task.at('link'))
    let seen = 0
    for (let i = 0; i < 40 || (seen === 0 && i < 400); i += 1) {
      const paths = (await list(task)).files.map(({ path }) => path)
      if (paths.includes('d/mine')) seen += 1
      expect(paths.filter((path) => path.endsWith('secret'))).toEqual([])
    }
    await swapping.stop()
    expect(seen).toBeGreaterThan(0)
  })

  test("are listed without running what the repository's configuration names (G14)", async () => {
    const task = await make()
    const witness = join(task.outside, 'executed')
    const fire = await setTraps(task.workspace.repo, witness)
    expect((await list(task)).files.map(({ path }) => path)).toContain('.gitattributes')
    expect(existsSync(witness)).toBe(false)
    await fire()
    await waitFor(() => existsSync(witness), { what: 'the trap to fire' })
  })

  test('are listed, without changes, when git cannot look at them: a pipe where it reads patterns', async () => {
    const task = await make()
    await makePipe(task.at('.gitignore'))
    await task.put('a', '')
    expect(await list(task)).toMatchObject({ changes_unknown: expect.stringContaining('too much') as string, files: [{ path: '.gitignore', type: 'other' }, { path: 'a' }] })
  })

  test('in a tree that is deeper than any project are listed so far, and it says so', async () => {
    const task = await make()
    await mkdir(task.at(Array.from({ length: 80 }, () => 'd').join('/')), { recursive: true })
    const { files, truncated } = await list(task)
    expect([files.length, truncated]).toEqual([65, true])
  })

  test('in nested folders with more names than memory can hold are listed page by page', { timeout: 240_000 }, async () => {
    const task = await make()
    for (let [level, folder] = [0, task.workspace.repo]; level < 9; level += 1, folder = join(folder, '0')) {
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, '1'), '')
      for (let i = 0; i < 30_000; i += 1) linkSync(join(folder, '1'), join(folder, `x${String(i).padStart(6, '0')}${'y'.repeat(240)}`))
    }
    const child = fork(new URL('testing-look.ts', import.meta.url), [JSON.stringify(task.workspace)], { execArgv: ['--max-old-space-size=64'], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test('with paths that no system call takes are listed so far, and paging goes on behind them', async () => {
    const task = await make()
    await promisify(execFile)('sh', ['-c', 'cd "$1"; n=$(printf %0255d 0); for i in $(seq 30); do mkdir "$n"; cd -P "$n"; done', 'sh', task.workspace.repo])
    await task.put('z.txt', 'x')
    try {
      const { files, truncated } = await list(task)
      expect([Math.max(...files.map(({ path }) => path.length)), files.at(-1)?.path, truncated]).toEqual([4_095, 'z.txt', true])
      expect((await inPages(task, 1)).at(-1)).toContain('z.txt')
      const { next_cursor: cursor = '' } = await list(task, { limit: 16 })
      expect([cursor.length > 5_000, cursor.length <= 8_192]).toEqual([true, true])
    } finally {
      await promisify(execFile)('rm', ['-rf', task.workspace.repo])
    }
  })

  test('have times that a date can show, whatever an agent gave them', () => {
    for (const mtimeMs of [9.2e21, -62_135_596_801_000, 253_402_300_800_000]) expect(new Date(modifiedAt({ mtimeMs })).toISOString()).toMatch(/^(1970|9999)-/)
    expect(modifiedAt({ mtimeMs: 12.9 })).toBe(12)
  })

  test('end no worker\'s git late: one that is killed while git waits at a pipe leaves no process, and the next look removes its folder', async () => {
    const [task, other] = [await make(), await make()]
    await makePipe(task.at('.gitignore'))
    const child = fork(new URL('testing-look.ts', import.meta.url), [JSON.stringify(task.workspace)])
    const gits = async (): Promise<string[]> => {
      const at = await Promise.all((await readdir('/proc')).map(async (pid) => ((await readlink(`/proc/${pid}/cwd`).catch(() => '')) === task.workspace.repo ? pid : '')))
      return at.filter((pid) => pid !== '')
    }
    const left = async (): Promise<string[]> => (await readdir(ownRoot())).filter((name) => name.startsWith(`${child.pid}-`))
    await waitFor(async () => (await gits()).length > 0, { what: 'git to wait at the pipe' })
    expect(await left()).toHaveLength(1)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await waitFor(async () => (await gits()).length === 0, { what: 'git to go' })
    await list(other)
    expect(await left()).toEqual([])
  })

  test('of a folder with 10,000 are listed in pages, each once', async () => {
    const task = await make()
    for (let i = 0; i < 10_000; i += 1) await task.put(`many/${i}`, '')
    const said = await inPages(task, 2_000)
    expect(new Set(said).size).toBe(10_001)
    expect(said).toHaveLength(10_001)
  })
})

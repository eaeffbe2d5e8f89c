import { mkdir, mkdtemp, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '@longshore/testkit'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { changesBetween, parseChanges, snapshot } from './changes.ts'
import { GitCutShort, gitHead, runGit } from './git.ts'
import { withLook } from './look.ts'
import { baselineOf, passwordOf, prepareWorkspace, renewPassword } from './prepare.ts'
import { openStorage, type Workspace, workspaceOf } from './storage.ts'

const TASK = `task-${'a'.repeat(26)}`
let root: string
let workspace: Workspace

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-workspace-'))
  workspace = workspaceOf(await openStorage(root), TASK)
  await prepareWorkspace(workspace)
})
afterEach(() => rm(root, { recursive: true, force: true }))

const baseline = async (): Promise<string> => (await baselineOf(workspace)) ?? ''
const put = async (path: string, content: string): Promise<void> => {
  const full = join(workspace.repo, path)
  await mkdir(join(full, '..'), { recursive: true })
  await writeFile(full, content)
}

describe('a workspace', () => {
  test('keeps its baseline, its work and its password when it is prepared again', async () => {
    const before = await baseline()
    await put('a.txt', 'one')
    const password = await renewPassword(workspace)
    await prepareWorkspace(workspace)
    expect(await baseline()).toBe(before)
    expect(await passwordOf(workspace)).toBe(password)
    expect(await changesBetween(workspace, before, await snapshot(workspace))).toEqual([{ path: 'a.txt', change: 'added' }])
  })

  test.runIf(process.getuid?.() === 0)('is completed after a worker that was killed while it made it, also when the repository is the agent\'s already', async () => {
    const cutShort = workspaceOf(await openStorage(root), `task-${'b'.repeat(26)}`)
    const nobody = { uid: 65_534, gid: 65_534 }
    await prepareWorkspace(cutShort, nobody)
    // Killed before it could say that all was done; one before it was killed in the middle of git.
    await rm(join(cutShort.control, 'baseline'))
    await mkdir(join(`${cutShort.repo}.dead`, '.git'), { recursive: true })
    await writeFile(join(`${cutShort.repo}.dead`, '.git/index.lock'), '')
    await prepareWorkspace(cutShort, nobody)
    expect(await baselineOf(cutShort)).toMatch(/^[0-9a-f]{40}/)
    expect((await readdir(cutShort.directory)).toSorted()).toEqual(['baseline.git', 'control', 'repo', 'state'])
    expect((await stat(cutShort.repo)).uid).toBe(nobody.uid)
  })

  test('whose start was written over by a shared server\'s agent is refused: it would be an argument of git\'s', async () => {
    for (const start of ['--output=/tmp/x', `${'a'.repeat(40)}\nM 100644`, '', 'HEAD']) {
      await writeFile(join(workspace.control, 'baseline'), start)
      await expect(baselineOf(workspace)).rejects.toMatchObject({ code: 'unavailable' })
    }
    await rm(join(workspace.control, 'baseline'))
    await promisify(execFile)('mkfifo', [join(workspace.control, 'baseline')])
    await expect(baselineOf(workspace)).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('is on a storage whose id stays', async () => {
    expect((await openStorage(root)).id).toBe((await openStorage(root)).id)
  })
})

describe('changes', () => {
  test('are what was added, modified and deleted between two moments', async () => {
    await put('keep.txt', 'same')
    await put('edit.txt', 'one')
    await put('drop.txt', 'gone soon')
    const before = await snapshot(workspace)
    await put('edit.txt', 'two')
    await put('dir/new.txt', 'new')
    await rm(join(workspace.repo, 'drop.txt'))
    expect(await changesBetween(workspace, before, await snapshot(workspace))).toEqual([
      { path: 'dir/new.txt', change: 'added' }, { path: 'drop.txt', change: 'deleted' }, { path: 'edit.txt', change: 'modified' },
    ])
  })

  test('follow no link, and take odd names as they are', async () => {
    await symlink('/etc', join(workspace.repo, 'link'))
    await put('line\nbreak \u202Etxt', 'x')
    await put('-rf', 'x')
    const changed = await changesBetween(workspace, await baseline(), await snapshot(workspace))
    expect(changed.map((change) => change.path).sort()).toEqual(['-rf', 'line\nbreak \u202Etxt', 'link'])
  })

  test('survive a file that becomes a folder and a lock that a dead worker left', async () => {
    await put('thing', 'file')
    const before = await snapshot(workspace)
    await rm(join(workspace.repo, 'thing'))
    await put('thing/inside', 'folder')
    await writeFile(join(workspace.baseline, 'index.lock'), '')
    expect(await changesBetween(workspace, before, await snapshot(workspace))).toEqual([
      { path: 'thing', change: 'deleted' }, { path: 'thing/inside', change: 'added' },
    ])
  })

  test("run nothing that the workspace's own git configuration or attributes name (G14)", async () => {
    const witness = join(root, 'executed')
    const trap = `touch ${witness}; cat`
    const git = (cwd: string, ...args: string[]): Promise<string> => runGit(args, {}, cwd)
    for (const folder of ['', 'nested']) {
      const at = join(workspace.repo, folder)
      await mkdir(at, { recursive: true })
      await git(at, 'init', '--quiet')
      for (const key of ['core.fsmonitor', 'filter.trap.clean', 'filter.trap.process', 'diff.external', 'core.sshCommand']) await git(at, 'config', key, trap)
      await writeFile(join(at, '.gitattributes'), '* filter=trap diff=trap\n')
      await git(at, 'config', 'core.hooksPath', at)
    }
    await put('a.txt', 'one')
    const before = await snapshot(workspace)
    await put('a.txt', 'two')
    await changesBetween(workspace, before, await snapshot(workspace))
    expect(existsSync(witness)).toBe(false)
    // The trap is a real one: the workspace's own configuration does fire it.
    await git(workspace.repo, '-c', 'core.fsmonitor=false', 'add', 'a.txt').catch(() => {})
    await waitFor(() => existsSync(witness), { what: 'the trap to fire' })
  })

  test('run nothing that agents of a shared server write beside the workspace (G14)', async () => {
    const witness = join(root, 'executed')
    await put('a.txt', 'one')
    const before = await snapshot(workspace)
    await runGit(['init', '--quiet', '--bare', workspace.baseline], {}, root)
    await runGit(['config', 'core.bare', 'false'], { GIT_DIR: workspace.baseline }, root)
    await runGit(['config', 'filter.trap.clean', `touch ${witness}; cat`], { GIT_DIR: workspace.baseline }, root)
    await mkdir(join(workspace.baseline, 'info'), { recursive: true })
    await writeFile(join(workspace.baseline, 'info', 'attributes'), '* filter=trap\n')
    await put('a.txt', 'two')
    expect(await changesBetween(workspace, before, await snapshot(workspace))).toEqual([{ path: 'a.txt', change: 'modified' }])
    await withLook(workspace, before, new AbortController().signal, async ({ tree }) => {
      expect(tree).not.toBe(before)
      const look = (await readdir(workspace.control)).find((name) => name.startsWith('look-'))
      expect((await readdir(join(workspace.control, look ?? ''))).toSorted()).toEqual(['index', 'objects'])
    })
    expect(existsSync(witness)).toBe(false)
    await put('a.txt', 'three')
    await runGit(['add', 'a.txt'], { GIT_DIR: workspace.baseline, GIT_WORK_TREE: workspace.repo }, workspace.repo)
    expect(existsSync(witness)).toBe(true)
  })

  test('cost no more memory than git may have: patterns that seem to be 8 GiB long', async () => {
    await put('.gitignore', '')
    await truncate(join(workspace.repo, '.gitignore'), 8 * 1024 ** 3)
    await expect(snapshot(workspace)).rejects.toThrow('KiB of memory')
    await truncate(join(workspace.repo, '.gitignore'), 1_200 * 1024 ** 2)
    await expect(withLook(workspace, await baseline(), new AbortController().signal, () => Promise.resolve())).rejects.toThrow('KiB of memory')
  })

  test('that cannot be seen hold nobody up for long: a pipe where git reads patterns', async () => {
    const pipe = join(workspace.repo, '.gitignore')
    await promisify(execFile)('mkfifo', [pipe])
    const began = performance.now()
    await expect(snapshot(workspace)).rejects.toThrow(GitCutShort)
    expect(performance.now() - began).toBeLessThan(30_000)
    await rm(pipe)
    await put('after.txt', 'x')
    expect(await changesBetween(workspace, await baseline(), await snapshot(workspace))).toEqual([{ path: 'after.txt', change: 'added' }])
  })

  test('stay inside when a folder becomes a link to somewhere else', async () => {
    await put('folder/passwd', 'x')
    const before = await snapshot(workspace)
    await rm(join(workspace.repo, 'folder'), { recursive: true })
    await symlink('/etc', join(workspace.repo, 'folder'))
    expect(await changesBetween(workspace, before, await snapshot(workspace))).toEqual([{ path: 'folder', change: 'added' }, { path: 'folder/passwd', change: 'deleted' }])
  })

  test('are parsed from NUL-separated fields, unknown kinds left out', () => {
    expect(parseChanges('A\0a b\0X\0c\0D\0d\0')).toEqual([{ path: 'a b', change: 'added' }, { path: 'd', change: 'deleted' }])
  })
})

test('what git is told comes from a source that may fail, and then says why', async () => {
  // oxlint-disable-next-line require-yield -- it fails before it has anything
  async function* broken(): AsyncGenerator<Uint8Array> {
    throw new Error('the disk is gone')
  }
  await expect(gitHead(['hash-object', '--stdin'], {}, root, { stdin: broken() })).rejects.toThrow('the disk is gone')
})

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeNeeding } from './describe-needing.ts'
import { previousCommit } from './previous-commit.ts'

const CODE = 'apps/worker/src/main.ts'

describeNeeding('history', 'the previous commit', () => {
  let folder: string
  let root: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'longshore-history-'))
    root = join(folder, 'repository')
    await git(folder, 'init', '--quiet', '--initial-branch', 'main', root)
  })
  afterAll(() => rm(folder, { recursive: true }))

  const git = async (where: string, ...words: string[]): Promise<string> =>
    (await promisify(execFile)('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-C', where, ...words])).stdout.trim()
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(join(root, dirname(path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  const commit = async (path: string, text: string): Promise<string> => {
    await write(path, text)
    await git(root, 'add', '.')
    await git(root, 'commit', '--quiet', '--message', text)
    return git(root, 'rev-parse', 'HEAD')
  }

  test('is the one before the last change of the apps; pages and tests are none; while they are being changed it is the newest', async () => {
    await commit(CODE, 'one')
    await expect(previousCommit(root), 'nothing comes before the first').rejects.toThrow('Command failed: git')
    const before = await commit('docs/page.md', 'a page')
    await commit(CODE, 'two')
    expect(await previousCommit(root)).toBe(before)
    await commit('apps/worker/src/main.test.ts', 'a test')
    const newest = await commit('docs/page.md', 'another page')
    await write('e2e/src/new.test.ts', 'not committed')
    expect(await previousCommit(root)).toBe(before)
    await write('packages/ledger/src/new.ts', 'not committed either')
    expect(await previousCommit(root)).toBe(newest)
  })

  test('is not there in a shallow clone, nor outside of a repository', async () => {
    const shallow = join(folder, 'shallow')
    await git(folder, 'clone', '--quiet', '--depth', '1', `file://${root}`, shallow)
    await expect(previousCommit(shallow)).rejects.toThrow('Command failed: git')
    await expect(previousCommit(folder)).rejects.toThrow('Command failed: git')
  })
})

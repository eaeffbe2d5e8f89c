import { existsSync } from 'node:fs'
import { chmod, chown, link, mkdir, readdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { waitFor } from '@longshore/testkit'
import { afterEach, describe, expect, test } from 'vitest'
import { parseNames } from './changed-names.ts'
import { snapshot } from './changes.ts'
import { cutPatch, diffWorkspace, wholeDiff, type WorkspaceDiff } from './diff.ts'
import { quoted } from './diff-tree.ts'
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
const diff = ({ workspace }: TestWorkspace, maxBytes = 1024 * 1024, path = ''): Promise<WorkspaceDiff> => diffWorkspace(workspace, { maxBytes, path }, NEVER)

const LONG = Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join('')

describe('the diff of a task', () => {
  test('is a unified patch against the start, with renames, links, modes and binaries, and leaves nothing behind', async () => {
    const task = await make(async (repo) => {
      await writeFile(join(repo, 'edit.txt'), 'one\ntwo\n')
      await writeFile(join(repo, 'old-name.txt'), LONG)
      await writeFile(join(repo, 'drop.txt'), 'gone soon\n')
      await writeFile(join(repo, 'run.sh'), 'true\n')
    })
    await task.put('edit.txt', 'one\nzwei\n')
    await rename(task.at('old-name.txt'), task.at('new-name.txt'))
    await rm(task.at('drop.txt'))
    await chmod(task.at('run.sh'), 0o755)
    await task.put('dir/photo.png', Buffer.from([0x89, 0x50, 0, 1, 2]))
    await symlink('edit.txt', task.at('link'))
    const { patch, ...rest } = await diff(task)
    expect(rest).toEqual({
      truncated: false, files_total: 6, files_shown: 6,
      files: [
        { path: 'dir/photo.png', change: 'added' }, { path: 'drop.txt', change: 'deleted' }, { path: 'edit.txt', change: 'modified' },
        { path: 'link', change: 'added' }, { path: 'new-name.txt', change: 'renamed', previous_path: 'old-name.txt' }, { path: 'run.sh', change: 'modified' },
      ],
    })
    expect(patch).toContain('--- a/edit.txt\n+++ b/edit.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n')
    expect(patch).toContain('rename from old-name.txt\nrename to new-name.txt\n')
    expect(patch).toContain('Binary files /dev/null and b/dir/photo.png differ\n')
    expect(patch).toContain('old mode 100644\nnew mode 100755\n')
    expect((await readdir(task.workspace.control)).sort()).toEqual(['baseline'])
  })

  test('is the same whether the owner looked before or not, and while it looks', async () => {
    const task = await make()
    await task.put('a.txt', 'one\n')
    await snapshot(task.workspace)
    await task.put('a.txt', 'two\n')
    const [first, second] = await Promise.all([diff(task), diff(task), snapshot(task.workspace)])
    expect(first.patch).toContain('+two')
    expect(second).toEqual(first)
  })

  test('sees a change in the very second in which the owner looked', async () => {
    // Preparing it was the owner's first look.
    const task = await make((repo) => writeFile(join(repo, 'a.txt'), 'one\n'))
    await task.put('a.txt', 'two\n')
    const second = Math.floor(Date.now() / 1_000)
    await waitFor(() => Math.floor(Date.now() / 1_000) > second, { what: 'another second' })
    expect((await diff(task)).files).toEqual([{ path: 'a.txt', change: 'modified' }])
  })

  test('is cut where a file ends, or in the first file where a line ends, and says so', async () => {
    const task = await make()
    for (const name of ['a', 'b', 'c']) await task.put(name, LONG)
    const whole = await diff(task)
    const size = Buffer.byteLength(whole.patch)
    const two = await diff(task, size - 10)
    expect(two).toMatchObject({ truncated: true, files_total: 3, files_shown: 2 })
    expect(whole.patch.startsWith(two.patch)).toBe(true)
    expect(two.patch.endsWith('+line 49\n')).toBe(true)
    const none = await diff(task, 200)
    expect(none).toMatchObject({ truncated: true, files_total: 3, files_shown: 0 })
    expect(none.patch).toMatch(/\n\+line \d+\n$/)
    expect(await diff(task, size, 'b')).toMatchObject({ truncated: false, files_total: 1, files: [{ path: 'b', change: 'added' }] })
  })

  test('reads neither 100 MB nor 10 MB in one line into the patch; what is not UTF-8 is made safe', async () => {
    const task = await make()
    await task.put('huge', '')
    await truncate(task.at('huge'), 400 * 1024 * 1024)
    await task.put('line', 'x'.repeat(10 * 1024 * 1024))
    await task.put('latin.txt', Buffer.from('caf\xe9\n', 'latin1'))
    await writeFile(Buffer.concat([Buffer.from(`${task.workspace.repo}/`), Buffer.from('n\xff\nm', 'latin1')]), 'odd name\n')
    const { patch, files } = await diff(task)
    expect(files.map(({ path }) => path)).toEqual(['huge', 'latin.txt', 'line', 'n\uFFFD\nm'])
    expect(patch).toContain('Binary files /dev/null and b/huge differ\n')
    expect(patch).toContain('Binary files /dev/null and b/line differ\n')
    expect(patch).toContain('+caf\uFFFD\n')
    expect(patch).toContain('+++ "b/n\uFFFD\\nm"\n')
  })

  test('shows nothing from outside: links, pipes, hard links of others, a file that became a folder, a folder that became a link (G14)', async () => {
    const task = await make(async (repo) => {
      await mkdir(join(repo, 'folder'))
      await writeFile(join(repo, 'folder/secret'), 'mine\n')
      await writeFile(join(repo, 'thing'), 'file\n')
    })
    await rm(task.at('folder'), { recursive: true })
    await symlink(task.outside, task.at('folder'))
    await rm(task.at('thing'))
    await task.put('thing/inside', 'folder\n')
    await makePipe(task.at('pipe'))
    const { patch, files } = await diff(task)
    expect(patch).not.toContain('TOP SECRET')
    expect(files).toEqual([
      { path: 'folder', change: 'added' }, { path: 'folder/secret', change: 'deleted' }, { path: 'thing', change: 'deleted' }, { path: 'thing/inside', change: 'added' },
    ])
  })

  test.runIf(process.getuid?.() === 0)('does not show a file that the agent could not read itself', async () => {
    const task = await make()
    await chmod(join(task.outside, 'secret'), 0o600)
    await link(join(task.outside, 'secret'), task.at('grabbed'))
    await chown(task.workspace.repo, 65_534, 65_534)
    const { patch, files } = await diff(task)
    expect(files).toEqual([{ path: 'grabbed', change: 'added' }])
    expect(patch).not.toContain('TOP SECRET')
  })

  test('holds no content from outside while a folder is swapped for a link again and again', async () => {
    const task = await make()
    await task.put('d/secret', 'mine\n')
    await symlink(task.outside, task.at('link'))
    const swapping = await swapUntil(task.at('d'), task.at('link'))
    let seen = 0
    for (let i = 0; i < 40 || (seen === 0 && i < 400); i += 1) {
      const patch = await diff(task).then((found) => found.patch, () => '')
      if (patch.includes('+mine')) seen += 1
      expect(patch).not.toContain('TOP SECRET')
    }
    await swapping.stop()
    expect(seen).toBeGreaterThan(0)
  })

  test("runs nothing of the repository's own configuration, attributes and hooks (G14)", async () => {
    const task = await make()
    const witness = join(task.outside, 'executed')
    const fire = await setTraps(task.workspace.repo, witness)
    await task.put('a.txt', 'one\n')
    const { patch } = await diff(task)
    expect(patch).toContain('+one')
    expect(existsSync(witness)).toBe(false)
    await fire()
    await waitFor(() => existsSync(witness), { what: 'the trap to fire' })
  })

  test('is not started before the workspace was prepared, and takes no path that climbs', async () => {
    const task = await make()
    await expect(diff(task, 1_000, '../outside')).rejects.toMatchObject({ code: 'invalid_input', field: 'path' })
    await rm(join(task.workspace.control, 'baseline'))
    await expect(diff(task)).rejects.toMatchObject({ code: 'not_started' })
  })
})

test('names are parsed with renames, and written so that any bytes survive', () => {
  expect(parseNames(['A', 'x', 'R087', 'old', 'new', 'X', 'y', 'T', 'z', ''])).toEqual([{ path: 'x', change: 'added' }, { path: 'new', change: 'renamed', from: 'old' }, { path: 'z', change: 'modified' }])
  expect(quoted('a"\\\n\xff b')).toBe('"a\\042\\134\\012\\377 b"')
})

test('G14: a line that looks like the next file, behind what only some take for the end of a line, is no file', async () => {
  const hostile = await make()
  await hostile.put('a.txt', ['x', 'x', 'x', ''].join('\rdiff --git a/b.txt b/b.txt\u2028diff --git a/c.txt c.txt\n'))
  await hostile.put('b.txt', 'what b holds\n')
  const { files } = await wholeDiff(hostile.workspace, 1_000_000, new AbortController().signal)
  expect(files.map(({ path }) => path)).toEqual(['a.txt', 'b.txt'])
  expect(files[1]?.patch).toContain('+what b holds\n')
  expect((await diffWorkspace(hostile.workspace, { maxBytes: 1_000_000 }, new AbortController().signal)).files_shown).toBe(2)
})

test('a patch is cut nowhere else than where it was too long', () => {
  expect(cutPatch(Buffer.from('diff --git a/x b/x\n+y'), false)).toEqual({ patch: 'diff --git a/x b/x\n+y', whole: 1 })
  expect(cutPatch(Buffer.from('diff --git a/x b/x\n+y'), true)).toEqual({ patch: 'diff --git a/x b/x\n', whole: 0 })
})

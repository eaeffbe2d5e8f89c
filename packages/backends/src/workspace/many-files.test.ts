import { once } from 'node:events'
import { fork } from 'node:child_process'
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { diffWorkspace } from './diff.ts'
import { GitCutShort } from './git.ts'
import { listFiles } from './list-files.ts'
import { outgrows } from './measure.ts'
import { makeWorkspace, type TestWorkspace } from './testing-workspace.ts'

/** More than are listed of one folder, and enough of them that a million are no other case: memory and time go by limits, not by the tree. */
const IN_ONE_FOLDER = 101_000
/** What file systems let one file have of names. */
const LINKS = 30_000
const NEVER = new AbortController().signal

let task: TestWorkspace
beforeEach(async () => {
  task = await makeWorkspace()
  mkdirSync(task.at('many'))
  for (let i = 0; i < IN_ONE_FOLDER; i += 1) {
    const [name, first] = [task.at(`many/${String(i).padStart(6, '0')}`), task.at(`many/${String(i - (i % LINKS)).padStart(6, '0')}`)]
    if (name === first) writeFileSync(name, '')
    else linkSync(first, name)
  }
}, 240_000)
afterEach(() => task.remove(), 120_000)

test('G14: so many files are listed in pages, cut clearly, compared or not with a word why, ended by the quota, in flat memory', { timeout: 240_000 }, async () => {
  const page = await listFiles(task.workspace, { limit: 1_000 }, NEVER)
  expect(page).toMatchObject({ truncated: true, next_cursor: expect.any(String) as string })
  expect(page.files).toHaveLength(1_000)
  expect(page.changes_unknown ?? page.files.map(({ change }) => change).at(-1)).toMatch(/^added$|too much in the workspace/)
  // The patch is cut, or it is said that there is too much to look at: never silence, never a crash.
  const said = await diffWorkspace(task.workspace, { maxBytes: 100_000 }, NEVER).then(({ truncated, files_total: total }) => `cut: ${truncated}, of ${total}`, (error: unknown) => (error instanceof GitCutShort ? 'too much' : String(error)))
  expect(['too much', `cut: true, of ${IN_ONE_FOLDER}`]).toContain(said)
  expect(await outgrows(task.workspace.directory, { bytes: 1e12, files: 100_000 })).toBe('more than 100000 files and folders (WORKSPACE_MAX_FILES)')
  const child = fork(new URL('testing-look.ts', import.meta.url), [JSON.stringify(task.workspace)], { execArgv: ['--max-old-space-size=64'], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  expect(await once(child, 'exit')).toEqual([0, null])
})

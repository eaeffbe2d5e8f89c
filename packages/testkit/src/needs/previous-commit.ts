import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const ROOT = join(import.meta.dirname, '../../../..')
/** What the apps are made of: a commit of pages and tests only is no other version. */
const PRODUCT = ['apps', 'packages', ':(exclude)packages/testkit', ':(exclude)*.test.ts', ':(exclude)*.testsuite.ts', ':(exclude)*/testing/*']

/**
 * The commit whose apps are the version before those of this working tree: HEAD while their code is being changed, else the parent of the
 * last commit that changed it, along the main line. For suites under `describeNeeding('history', …)`.
 * @throws Error where there is no git, no repository, or no such commit, as in a shallow clone
 */
export async function previousCommit(root = ROOT): Promise<string> {
  const git = (...words: string[]) => runGit(root, words)
  const changes = await git('status', '--porcelain', '--', ...PRODUCT)
  const last = changes === '' ? `${await git('rev-list', '-1', '--first-parent', 'HEAD', '--', ...PRODUCT)}^` : 'HEAD'
  return git('rev-parse', '--verify', '--quiet', `${last}^{commit}`)
}

/** A working tree that belongs to somebody else is as good: its code runs here anyway. */
async function runGit(root: string, words: readonly string[]): Promise<string> {
  return (await promisify(execFile)('git', ['-c', 'safe.directory=*', ...words], { cwd: root })).stdout.trim()
}

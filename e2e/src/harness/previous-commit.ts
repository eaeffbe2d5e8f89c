import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { previousCommit } from '@longshore/testkit'
import { makeTree, type OtherTree, PARTS, THIS_TREE } from './other-tree.ts'

const run = promisify(execFile)

/** The apps as the commit before this one has them. For suites that need `history`. */
export async function unpackPreviousCommit(): Promise<OtherTree> {
  const commit = await previousCommit()
  return makeTree(`the previous commit, ${commit.slice(0, 12)},`, async (root) => {
    const archive = join(root, 'archive.tar')
    await run('git', ['-c', 'safe.directory=*', 'archive', '-o', archive, commit, ...PARTS], { cwd: THIS_TREE })
    await run('tar', ['-xf', archive, '-C', root])
    await rm(archive)
  })
}

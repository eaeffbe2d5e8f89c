import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { runGit } from './git.ts'
import { prepareWorkspace } from './prepare.ts'
import { openStorage, type Workspace, workspaceOf } from './storage.ts'

/** A prepared workspace of a test, in a folder of its own; what lies beside it in `outside` is not the agent's. */
export interface TestWorkspace {
  workspace: Workspace
  outside: string
  put(path: string, content: string | Uint8Array): Promise<void>
  /** Where a path of the agent's is. */
  at(path: string): string
  remove(): Promise<void>
}

export async function makeWorkspace(before?: (repo: string) => Promise<void>): Promise<TestWorkspace> {
  const folder = await mkdtemp(join(tmpdir(), 'longshore-files-'))
  const outside = join(folder, 'outside')
  await mkdir(outside)
  await writeFile(join(outside, 'secret'), 'TOP SECRET\n')
  const workspace = workspaceOf(await openStorage(join(folder, 'storage')), `task-${'a'.repeat(26)}`)
  // As a workspace that was filled before its agent started.
  await mkdir(workspace.repo, { recursive: true })
  await before?.(workspace.repo)
  await prepareWorkspace(workspace)
  const at = (path: string) => join(workspace.repo, path)
  return {
    workspace, outside, at,
    put: async (path, content) => {
      await mkdir(dirname(at(path)), { recursive: true })
      await writeFile(at(path), content)
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

export const makePipe = async (path: string): Promise<void> => void (await promisify(execFile)('mkfifo', [path]))

/** Everything in a repository by which looking at it can run a program. @returns fires the trap as git itself would */
export async function setTraps(repo: string, witness: string): Promise<() => Promise<unknown>> {
  const trap = `touch ${witness}; cat`
  const git = (...args: string[]): Promise<string> => runGit(args, {}, repo)
  await git('init', '--quiet')
  for (const key of ['core.fsmonitor', 'filter.trap.clean', 'filter.trap.smudge', 'filter.trap.process', 'diff.external', 'diff.trap.textconv', 'diff.trap.command', 'core.pager', 'core.sshCommand', 'core.editor', 'core.gitProxy', 'core.alternateRefsCommand', 'credential.helper', 'gpg.program', 'merge.trap.driver', 'uploadpack.packObjectsHook', 'alias.status']) await git('config', key, key === 'credential.helper' ? `!${trap}` : trap)
  await git('config', 'commit.gpgSign', 'true')
  for (const [key, value] of [['submodule.s.url', `ext::sh -c ${trap}`], ['submodule.s.update', `!${trap}`], ['submodule.s.active', 'true'], ['protocol.ext.allow', 'always']] as const) await git('config', key, value)
  await writeFile(join(repo, '.gitmodules'), `[submodule "s"]\n\tpath = s\n\turl = ext::sh -c "${trap}"\n\tupdate = !${trap}\n`)
  await git('config', 'core.hooksPath', repo)
  await git('config', 'core.attributesFile', join(repo, '.gitattributes'))
  await writeFile(join(repo, '.gitattributes'), '* filter=trap diff=trap merge=trap\n')
  for (const hook of ['post-index-change', 'reference-transaction']) await writeFile(join(repo, hook), `#!/bin/sh\ntouch ${witness}\n`, { mode: 0o755 })
  return () => git('-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', 'add', '.gitattributes').catch(() => undefined)
}

const SWAP = `
const { parentPort, workerData: { path, link, flag } } = require('node:worker_threads')
const { renameSync } = require('node:fs')
parentPort.postMessage('swaps')
while (Atomics.load(flag, 0) === 0) for (const [from, to] of [[path, path + '.aside'], [link, path], [path, link], [path + '.aside', path]]) renameSync(from, to)
`

/** Exchanges a file or folder and a link, in a thread of its own, as fast as can be, until it is stopped. */
export async function swapUntil(path: string, link: string): Promise<{ stop(): Promise<void> }> {
  const flag = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(SWAP, { eval: true, workerData: { path, link, flag } })
  await once(worker, 'message')
  return { stop: async () => {
    const ended = once(worker, 'exit')
    Atomics.store(flag, 0, 1)
    await ended
  } }
}

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ExecutionOutcome, type GitResult, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { changedNames } from './changed-names.ts'
import { type PutLimits, treeToShow } from './diff-tree.ts'
import { type Look, withLook } from './look.ts'
import { sourceOf, startOf } from './prepare.ts'
import { askRemote } from './remote-git.ts'
import { type Workspace, workspaceOf } from './storage.ts'
import { type Access, accessFor, type WorkspaceSource } from './task-workspace.ts'

/** What a commit takes: as large a file as common servers do, and no more than a worker can hold for a moment. */
const COMMIT: PutLimits = { fileBytes: 32 * 1024 * 1024, totalBytes: 256 * 1024 * 1024, files: 20_000 }
const PUSH_MS = 60_000
/** A push that goes on beyond the task's time would cost it its end. */
const SPARE_MS = 2_000

/**
 * Adds what became of the task's repository. Where it asked for that, what changed is committed on the commit that it started from and pushed, by a git directory of
 * ours: nothing of the agent's is run. The same again, by an adopter, makes the same commit. A push that fails costs the task nothing.
 * @throws what `run.signal` gave as its reason
 */
export async function withGitResult(source: WorkspaceSource, task: Task, run: RunContext, outcome: ExecutionOutcome): Promise<ExecutionOutcome> {
  const request = task.workspace?.git
  if (request === undefined || outcome.kind !== 'completed') return outcome
  try {
    const workspace = workspaceOf(source.storage, task.id)
    const { commit } = await sourceOf(workspace)
    const git: GitResult = { commit, ...(request.push === true ? await pushed(source, workspace, task, commit, run) : {}) }
    return { ...outcome, result: { ...outcome.result, git } }
  } catch (error) {
    run.signal.throwIfAborted()
    run.log.warn({ err: error }, 'what became of the repository of a task is not known')
    return outcome
  }
}

async function pushed(source: WorkspaceSource, workspace: Workspace, task: Task, commit: string, run: RunContext): Promise<Omit<GitResult, 'commit'>> {
  try {
    const access = await accessFor(source, task)
    if (access?.remote.credential?.push !== true) throw new TaskFailure('workspace', 'the credential may not push')
    const timeoutMs = Math.min(PUSH_MS, run.deadlineAt - Date.now() - SPARE_MS)
    if (timeoutMs <= 0) throw new TaskFailure('workspace', 'no time was left of the task')
    return await commitAndPush(workspace, task, { commit, access, timeoutMs }, run)
  } catch (error) {
    run.signal.throwIfAborted()
    const message = error instanceof Error ? error.message : String(error)
    run.log.warn({ reason: message }, 'the result of a task was not pushed')
    return { push_error: message.slice(0, 1_000).toWellFormed() }
  }
}

interface Push { commit: string; access: Access; timeoutMs: number }

async function commitAndPush(workspace: Workspace, task: Task, { commit, access, timeoutMs }: Push, run: RunContext): Promise<Omit<GitResult, 'commit'>> {
  const base = await startOf(workspace)
  return withLook(workspace, base, run.signal, async (look) => {
    const changes = await changedNames(look.ask, base, look.tree)
    if (changes.length === 0) throw new TaskFailure('workspace', 'nothing changed')
    // On the commit's own tree: where its files were written with other line ends, they are not changes.
    const put = await treeToShow(workspace, look.ask, (await said(look, ['rev-parse', `${commit}^{tree}`])), changes, COMMIT)
    if (put.left > 0 || put.unread > 0) throw new TaskFailure('workspace', `more changed than is committed: ${put.left + put.unread} files are too many or too large`)
    const head = await said(look, ['hash-object', '-t', 'commit', '-w', '--stdin'], commitOf(put.tree, commit, task))
    const branch = `longshore/${task.id}`
    // Else git looks for what came before the start, which was not fetched.
    await writeFile(join(look.gitDir, 'shallow'), `${commit}\n`)
    await run.confirmClaim()
    const { remote } = access
    await askRemote(remote, ['push', '--quiet', '--no-verify', '--', remote.url, `${head}:refs/heads/${branch}`], look.env, look.gitDir, { signal: run.signal, timeoutMs })
    return { branch, head }
  })
}

async function said(look: Look, args: readonly string[], stdin = ''): Promise<string> {
  return (await look.ask(args, { stdin })).bytes.toString('latin1').trim()
}

/** Nothing in it changes from one try to the next. */
function commitOf(tree: string, parent: string, { id, title, created_at: createdAt }: Task): string {
  const who = `Longshore <longshore@localhost> ${Math.floor(createdAt / 1000)} +0000`
  return `tree ${tree}\nparent ${parent}\nauthor ${who}\ncommitter ${who}\n\n${title.replaceAll('\0', '')}\n\nLongshore-Task: ${id}\n`
}

import { type BlobStore, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { cloneInto } from './clone.ts'
import { fetchFiles } from './fetch-files.ts'
import { addressesFor, type GitAccess } from './git-access.ts'
import { type Credential, credentialFor } from './git-credentials.ts'
import { prepareNamed } from './named-workspace.ts'
import { type Filling, type Owner, prepareWorkspace } from './prepare.ts'
import type { Remote } from './remote-git.ts'
import { type Storage, workspaceOf } from './storage.ts'

/** What a backend has for its tasks' workspaces. */
export interface WorkspaceSource {
  storage: Storage
  /** Without it there are empty workspaces only. */
  git?: GitAccess
  /** Where files are that were sent along. Without it there are none. */
  blobs?: Pick<BlobStore, 'get'>
}

/** What a task's repository takes: checked against what the operator allows, by the worker that goes there. */
export interface Access { remote: Remote & { credential: Credential | undefined }; git: GitAccess }

/** @throws TaskFailure `workspace`, `workspace_unreachable` */
export async function accessFor({ git }: WorkspaceSource, { agent_id: agentId, workspace }: Pick<Task, 'agent_id' | 'workspace'>): Promise<Access | undefined> {
  if (workspace?.git === undefined) return undefined
  if (git === undefined) throw new TaskFailure('workspace', 'this worker fetches no repositories')
  const { url, credential: name } = workspace.git
  const addresses = await addressesFor(url, git)
  const credential = name === undefined ? undefined : await credentialFor(git.credentialsFile, { name, agentId, url })
  return { remote: { url, addresses, credential }, git }
}

/**
 * Makes the workspace that the task asks for, once: a later attempt gets what the earlier ones left.
 * @throws TaskFailure `storage_unavailable`, `workspace`, `workspace_unreachable`
 */
export async function prepareFor(source: WorkspaceSource, task: Task, run: RunContext, owner: Owner | undefined): Promise<void> {
  const { storage } = source
  const name = task.workspace?.name
  const begun: string[] = []
  const filling: Filling = { confirm: run.confirmClaim, ...withFiles(source, task, run, begun), ...withClone(source, task, run, begun) }
  const began = performance.now()
  if (name !== undefined) {
    if (task.home !== undefined && task.home !== storage.id) throw new TaskFailure('workspace', `the workspace "${name}" is on the storage ${task.home}, and this task came to a worker that has ${storage.id}: ask for the mode of its first task`)
    await prepareNamed(storage, { agentId: task.agent_id, name, taskId: task.id }, owner, filling)
  } else await prepareWorkspace(workspaceOf(storage, task.id), owner, filling)
  if (begun.length === 0) return
  await run.emit([{ type: 'task.tool', payload: { tool: 'workspace', title: begun.join('; '), status: 'completed', duration_ms: Math.round(performance.now() - began) } }])
}

/** @param begun what the log tells of it */
function withClone(source: WorkspaceSource, task: Task, run: RunContext, begun: string[]): Pick<Filling, 'clone'> {
  const request = task.workspace?.git
  if (request === undefined) return {}
  return { clone: async (folder, draft) => {
    const access = await accessFor(source, task)
    if (access === undefined) throw new TaskFailure('internal', 'a task without a repository has none to clone')
    const { remote, git } = access
    const cloned = await cloneInto(folder, draft, { remote, ref: request.ref, limits: git.limits, timeoutMs: git.timeoutMs, signal: run.signal })
    begun.unshift(`cloned ${request.url} at ${cloned.commit}${cloned.branch === undefined ? '' : ` (${cloned.branch})`}`)
    run.log.info({ commit: cloned.commit, branch: cloned.branch }, 'cloned the repository of a task')
    return cloned
  } }
}

function withFiles({ blobs }: WorkspaceSource, task: Task, run: RunContext, begun: string[]): Pick<Filling, 'files'> {
  const sent = task.workspace?.files
  if (sent === undefined) return {}
  return { files: async () => {
    const files = await fetchFiles(blobs, sent)
    begun.push(`put ${sent.count} file${sent.count === 1 ? '' : 's'} of ${sent.bytes} bytes there, as sent along`)
    run.log.info({ files: sent.count, bytes: sent.bytes }, 'fetched the files that were sent along with a task')
    return files
  } }
}

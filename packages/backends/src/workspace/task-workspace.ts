import { type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { type Cloned, cloneInto } from './clone.ts'
import { addressesFor, type GitAccess } from './git-access.ts'
import { type Credential, credentialFor } from './git-credentials.ts'
import { prepareNamed } from './named-workspace.ts'
import { type Owner, prepareWorkspace } from './prepare.ts'
import type { Remote } from './remote-git.ts'
import { type Storage, workspaceOf } from './storage.ts'

/** What a backend has for its tasks' workspaces. */
export interface WorkspaceSource {
  storage: Storage
  /** Without it there are empty workspaces only. */
  git?: GitAccess
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
  const workspace = workspaceOf(storage, task.id)
  const name = task.workspace?.name
  if (name !== undefined) {
    if (task.home !== undefined && task.home !== storage.id) throw new TaskFailure('workspace', `the workspace "${name}" is on the storage ${task.home}, and this task came to a worker that has ${storage.id}: ask for the mode of its first task`)
    return prepareNamed(storage, { agentId: task.agent_id, name, taskId: task.id }, owner, run.confirmClaim)
  }
  if (task.workspace?.git === undefined) return prepareWorkspace(workspace, owner)
  const began = performance.now()
  let cloned: Cloned | undefined
  await prepareWorkspace(workspace, owner, {
    confirm: run.confirmClaim,
    clone: async (folder, draft) => {
      const access = await accessFor(source, task)
      if (access === undefined) throw new TaskFailure('internal', 'a task without a repository has none to clone')
      const { remote, git } = access
      cloned = await cloneInto(folder, draft, { remote, ref: task.workspace?.git?.ref, limits: git.limits, timeoutMs: git.timeoutMs, signal: run.signal })
      return cloned
    },
  })
  if (cloned === undefined) return
  const title = `cloned ${task.workspace.git.url} at ${cloned.commit}${cloned.branch === undefined ? '' : ` (${cloned.branch})`}`
  run.log.info({ commit: cloned.commit, branch: cloned.branch }, 'cloned the repository of a task')
  await run.emit([{ type: 'task.tool', payload: { tool: 'workspace', title, status: 'completed', duration_ms: Math.round(performance.now() - began) } }])
}

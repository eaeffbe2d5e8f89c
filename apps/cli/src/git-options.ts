import type { WorkspaceRequest } from '@longshore/contracts'
import type { z } from 'zod'
import { Complaint, type Input, type Option } from './command.ts'
import { filesToSend } from './files-to-send.ts'

/** What `submit` takes for a task with a workspace that is not empty. */
export const GIT_OPTIONS: Record<string, Option> = {
  workspace: { type: 'string', value: 'NAME', about: 'Go on in this workspace of the agent, one task at a time.' },
  git: { type: 'string', value: 'URL', about: 'Begin with a clone of this repository, https://…, without user and password.' },
  ref: { type: 'string', value: 'REF', about: 'Its branch, tag or commit. Default: its default branch.' },
  credential: { type: 'string', value: 'NAME', about: 'One of the operator\'s credentials for it.' },
  push: { type: 'boolean', about: 'When the task completes, push what changed as the branch longshore/TASK.' },
  file: { type: 'string', multiple: true, value: 'LOCAL[:PATH]', about: 'Send this file along, to PATH in the workspace; may be repeated. Default of PATH: LOCAL where that lies below this folder, else its last name.' },
}

/** @throws Complaint when the others stand without --git, and for a file that cannot be sent */
export async function workspaceFrom(options: Input['options']): Promise<{ workspace?: Asked }> {
  const files = await filesToSend((options['file'] ?? []) as string[])
  const workspace = { ...placeFrom(options), ...(files.length === 0 ? {} : { files }) }
  return Object.keys(workspace).length === 0 ? {} : { workspace }
}

type Asked = z.input<typeof WorkspaceRequest>

function placeFrom(options: Input['options']): Pick<Asked, 'git' | 'name'> {
  const [url, ref, credential] = ['git', 'ref', 'credential'].map((name) => options[name] as string | undefined)
  const others = ['ref', 'credential', 'push'].filter((name) => options[name] !== undefined && options[name] !== false)
  if (url === undefined && others.length > 0) throw new Complaint(`--${others.join(', --')}: only with --git URL.`)
  const name = options['workspace'] as string | undefined
  if (url !== undefined && name !== undefined) throw new Complaint('--workspace: not together with --git.')
  if (url === undefined) return name === undefined ? {} : { name }
  return { git: { url, ...(ref === undefined ? {} : { ref }), ...(credential === undefined ? {} : { credential }), ...(options['push'] === true ? { push: true as const } : {}) } }
}

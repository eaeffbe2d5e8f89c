import type { WorkspaceRequest } from '@longshore/contracts'
import type { z } from 'zod'
import { Complaint, type Input, type Option } from './command.ts'

/** What `submit` takes for a task with a workspace that is not empty. */
export const GIT_OPTIONS: Record<string, Option> = {
  workspace: { type: 'string', value: 'NAME', about: 'Go on in this workspace of the agent, one task at a time.' },
  git: { type: 'string', value: 'URL', about: 'Begin with a clone of this repository, https://…, without user and password.' },
  ref: { type: 'string', value: 'REF', about: 'Its branch, tag or commit. Default: its default branch.' },
  credential: { type: 'string', value: 'NAME', about: 'One of the operator\'s credentials for it.' },
  push: { type: 'boolean', about: 'When the task completes, push what changed as the branch longshore/TASK.' },
}

/** @throws Complaint when the others stand without --git */
export function workspaceFrom(options: Input['options']): { workspace?: z.input<typeof WorkspaceRequest> } {
  const [url, ref, credential] = ['git', 'ref', 'credential'].map((name) => options[name] as string | undefined)
  const others = ['ref', 'credential', 'push'].filter((name) => options[name] !== undefined && options[name] !== false)
  if (url === undefined && others.length > 0) throw new Complaint(`--${others.join(', --')}: only with --git URL.`)
  const name = options['workspace'] as string | undefined
  if (url !== undefined && name !== undefined) throw new Complaint('--workspace: not together with --git.')
  if (url === undefined) return name === undefined ? {} : { workspace: { name } }
  return { workspace: { git: { url, ...(ref === undefined ? {} : { ref }), ...(credential === undefined ? {} : { credential }), ...(options['push'] === true ? { push: true as const } : {}) } } }
}

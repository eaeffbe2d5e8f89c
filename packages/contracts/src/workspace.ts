import { z } from 'zod'
import { FilesToSend, SentFiles } from './sent-files.ts'

/** Nothing that a server could decode into another path, or a program take for an option. */
const URL_PATH = /^\/(?:[A-Za-z0-9._~+@,=/-]|%20)+$/
const MAX_URL_CHARACTERS = 1_000

/** What is wrong with an address of a repository, without repeating it: a secret may stand in it. */
function faultOf(text: string): string | undefined {
  if (text.length > MAX_URL_CHARACTERS) return `must be at most ${MAX_URL_CHARACTERS} characters`
  // A parser would drop white space and control characters; what it drops is not what was checked.
  if (!/^https?:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text)) return 'must be a URL that begins with https:// (http:// where the operator allows it), without spaces'
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password: name one of the operator\'s credentials with `credential` instead'
  if (url.search !== '' || url.hash !== '' || /[?#]/.test(text)) return 'must not have a query or fragment'
  if (!URL_PATH.test(url.pathname) || text.includes('\\') || /%(?!20)/.test(text)) return 'must have a path of A-Z a-z 0-9 . _ ~ + @ , = / - and %20'
  return undefined
}

/** The address of a repository, normalised. Where a worker may go with it is the operator's choice (`WORKSPACE_GIT_ALLOW`). */
export const GitUrl = z.string()
  .check((context) => {
    const message = faultOf(context.value)
    if (message !== undefined) context.issues.push({ code: 'custom', message, input: undefined })
  })
  .transform((text) => new URL(text).href)

/** What git refuses in names, what it reads as more than a name, and what begins like an option. */
// oxlint-disable-next-line no-control-regex -- names of refs may hold none
const NO_REF = /^[-/+@]|[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|(?:^|\/)\.|\.lock(?:\/|$)|[./]$/
export const GitRef = z.string().min(1).max(200)
  .refine((name) => name.isWellFormed() && !NO_REF.test(name), 'must be a branch, a tag, or the 40 hexadecimal digits of a commit')

export const CredentialName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'a credential\'s name is 1 to 40 of a-z 0-9 -')

export const WorkspaceName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/, 'a workspace\'s name is 1 to 40 of a-z 0-9 -')

const SHAPE = {
  git: z.strictObject({
    url: GitUrl.describe('Address of the repository, https://…, without user and password.'),
    ref: GitRef.optional().describe('Branch, tag, or commit (40 digits). Default: the repository\'s default branch.'),
    credential: CredentialName.optional().describe('Name of a credential that the operator set up for this repository and agent.'),
    push: z.literal(true).optional().describe('When the task completes, commit what changed and push it as the branch longshore/<task id>. Needs a credential that may push.'),
  }).refine(({ push, credential }) => push === undefined || credential !== undefined, { path: ['credential'], error: 'must name a credential when push is true' })
    .optional().describe('A clone of one commit of a git repository, without submodules and LFS files.'),
  name: WorkspaceName.optional().describe('A workspace that this agent\'s tasks have one after the other: each finds what the one before left. Begins empty; not together with git.'),
}
const ONE_PLACE = { path: ['name'], error: 'must not stand beside git: a task has one workspace' }
const isOnePlace = ({ git, name }: { git?: unknown; name?: unknown }): boolean => git === undefined || name === undefined

/** What a task's agent finds in its workspace when it starts, as callers ask for it. Names of secrets, never secrets. */
export const WorkspaceRequest = z.strictObject({
  ...SHAPE,
  files: FilesToSend.optional().describe('Files to put into the workspace before the agent starts, over what a clone or a named workspace has there: at most 200, and 1 MiB together.'),
}).refine(isOnePlace, ONE_PLACE)
export type WorkspaceRequest = z.infer<typeof WorkspaceRequest>

/** The same in a task's record: its files are in the blob store. */
export const TaskWorkspace = z.strictObject({ ...SHAPE, files: SentFiles.optional() }).refine(isOnePlace, ONE_PLACE)
export type TaskWorkspace = z.infer<typeof TaskWorkspace>
export type GitRequest = NonNullable<WorkspaceRequest['git']>

/** What became of a task's repository. */
export const GitResult = z.object({
  /** Where it started. */
  commit: z.string(),
  /** Where the result is, once it is pushed. */
  branch: z.string().optional(),
  head: z.string().optional(),
  /** Why it was not pushed although that was asked. */
  push_error: z.string().max(1_000).optional(),
})
export type GitResult = z.infer<typeof GitResult>

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { AgentId, CredentialName, isBeneath, TaskFailure } from '@longshore/contracts'
import { z } from 'zod'

/** What git says to a server. */
export interface Credential { username: string; token: string; push: boolean }

const Entry = z.strictObject({
  username: z.string().regex(/^[^:\x00-\x1f\x7f]{1,200}$/u, 'must be 1 to 200 characters without a colon').default('x-access-token'), // oxlint-disable-line no-control-regex -- a header must hold none
  token: z.string().min(1).max(4_096),
  /** Address prefixes it may be sent to. */
  urls: z.array(z.url()).min(1),
  /** Who may name it; `*`: every agent. */
  agents: z.array(z.union([AgentId, z.literal('*')])).min(1),
  push: z.boolean().default(false),
})
const Entries = z.record(CredentialName, Entry)

const OTHERS = 0o077
const MAX_BYTES = 1024 * 1024

/** The question that a task asks for its credential. */
export interface Wish { name: string; agentId: string; url: string }

/**
 * Read anew for each use, so that a token can be changed without a restart. One that is not there, for other agents or for other addresses is refused with the same words.
 * @throws TaskFailure `workspace`
 */
export async function credentialFor(file: string, { name, agentId, url }: Wish): Promise<Credential> {
  const entries = await readEntries(file)
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined
  if (entry === undefined || !entry.agents.some((agent) => agent === '*' || agent === agentId) || !entry.urls.some((prefix) => isBeneath(url, prefix))) {
    throw new TaskFailure('workspace', `there is no credential "${name}" here that ${agentId} may use for ${url}; the operator sets them up in WORKSPACE_GIT_CREDENTIALS`)
  }
  return { username: entry.username, token: entry.token, push: entry.push }
}

async function readEntries(file: string): Promise<z.infer<typeof Entries>> {
  const refuse = (why: string): TaskFailure => new TaskFailure('workspace', `the file of credentials (WORKSPACE_GIT_CREDENTIALS) ${why}`)
  const text = await readPrivate(file, refuse)
  if (text === undefined) return {}
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw refuse('is not JSON') // the parser's own words repeat what they stumbled over
  }
  const parsed = Entries.safeParse(json)
  if (!parsed.success) throw refuse(`does not fit at ${parsed.error.issues[0]?.path.join('.') ?? 'its top'}: ${parsed.error.issues[0]?.message ?? ''}`)
  return parsed.data
}

async function readPrivate(file: string, refuse: (why: string) => TaskFailure): Promise<string | undefined> {
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const found = await handle.stat()
    if (!found.isFile() || found.size > MAX_BYTES) throw refuse('is not a file of at most a megabyte')
    if ((found.mode & OTHERS) !== 0) throw refuse('can be read by others than its owner: give it mode 0600')
    return await handle.readFile('utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if (error instanceof TaskFailure) throw error
    throw refuse(`cannot be read by this worker (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`)
  }
}

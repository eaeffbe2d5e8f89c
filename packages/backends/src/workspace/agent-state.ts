import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Workspace } from './storage.ts'

/** The agent's home and XDG folders. */
const FOLDERS = ['home', 'config', 'data', 'cache', 'run'] as const

/**
 * OpenCode fetches this package, for plugins that a user may write, into the folder of its configuration when it starts in a new home, and has no setting against it. Here
 * nobody writes any, most tasks reach no registry, and the log of each would begin with a refusal; so the folder says, in the way its installer looks, that it has the package.
 */
const NOT_FETCHED = '@opencode-ai/plugin'

/** Makes the agent's own folders beside its workspace, whole or not at all: by a worker that was suspended in here nothing is written into what is an agent's by now. */
export async function makeState({ control, state }: Workspace): Promise<void> {
  const draft = await mkdtemp(join(control, 'state-'))
  for (const folder of FOLDERS) await mkdir(join(draft, folder), { mode: 0o700 })
  const opencode = join(draft, 'config', 'opencode')
  await mkdir(join(opencode, 'node_modules'), { recursive: true, mode: 0o700 })
  await writeFile(join(opencode, 'package-lock.json'), `${JSON.stringify({ lockfileVersion: 3, packages: { '': { dependencies: { [NOT_FETCHED]: '*' } } } })}\n`)
  await rename(draft, state).catch(async (error: NodeJS.ErrnoException) => {
    await rm(draft, { recursive: true, force: true })
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

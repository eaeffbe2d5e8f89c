import { mkdir, mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises'
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
export async function makeState({ directory, control, repo, state }: Workspace): Promise<void> {
  const draft = await mkdtemp(join(control, 'state-'))
  for (const folder of FOLDERS) await mkdir(join(draft, folder), { mode: 0o700 })
  const opencode = join(draft, 'config', 'opencode')
  for (const folder of ['node_modules', 'plugin']) await mkdir(join(opencode, folder), { recursive: true, mode: 0o700 })
  await writeFile(join(opencode, 'package-lock.json'), `${JSON.stringify({ lockfileVersion: 3, packages: { '': { dependencies: { [NOT_FETCHED]: '*' } } } })}\n`)
  await writeFile(join(opencode, 'plugin', 'longshore-guard.js'), guard([repo, join(await realpath(directory), 'repo')]))
  await rename(draft, state).catch(async (error: NodeJS.ErrnoException) => {
    await rm(draft, { recursive: true, force: true })
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

/**
 * OpenCode (1.18) has two readers of configuration. The newer one, which every prompt begins, heeds neither OPENCODE_DISABLE_PROJECT_CONFIG nor OPENCODE_PURE and imports what
 * a repository calls its plugins: programs that ask nobody, in the server's own process. Plugins of the user's configuration come before those of a repository, so this one has
 * nothing beneath the workspace imported any more (G14). A guard-rail as all that an agent's own program does: the place is the boundary.
 */
function guard(folders: readonly string[]): string {
  const beneath = `^(?:${folders.map((folder) => folder.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join('|')})/`
  return `Bun.plugin({ name: 'longshore-guard', setup: (build) => build.onLoad({ filter: new RegExp(${JSON.stringify(beneath)}) }, () => ({ contents: 'export default {}', loader: 'js' })) })
export const LongshoreGuard = async () => ({})
`
}

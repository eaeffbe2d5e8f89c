import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { devFolder, hasEngine, hasSynapse } from '@longshore/infra'
import { composeCommand } from '../servers/compose.ts'
import type { Need } from './need.ts'
import { previousCommit } from './previous-commit.ts'

const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome']

type Check = (env: NodeJS.ProcessEnv) => Promise<boolean>

const CHECKS: Readonly<Record<Need, Check>> = {
  docker: async (env) => (await onPath(['docker'], env)) !== undefined && hasEngine(devFolder('engine'), env),
  dockerd: async (env) => process.getuid?.() === 0 && (await onPath(['dockerd'], env)) !== undefined && (await onPath(['docker'], env)) !== undefined,
  compose: async (env) => (await composeCommand(env)) !== undefined,
  registry: async (env) => (await onPath(['docker-registry'], env)) !== undefined,
  opencode: () => isExecutable(join(dirname(createRequire(import.meta.url).resolve('opencode-ai/package.json')), 'bin/opencode.exe')),
  synapse: () => hasSynapse(devFolder('synapse')),
  chromium: async (env) => (await onPath(CHROMIUM, env)) !== undefined,
  namespaces: async () => (await canUnshare(['--user', '--map-current-user'])) && (process.getuid?.() !== 0 || canUnshare([])),
  history: () => previousCommit().then(
    () => true,
    () => false,
  ),
}

/** What this machine lacks. Starts nothing and downloads nothing. */
export async function missingNeeds(env: NodeJS.ProcessEnv): Promise<Need[]> {
  const needs = Object.keys(CHECKS) as Need[]
  const isMet = await Promise.all(needs.map((need) => CHECKS[need](env)))
  return needs.filter((_, index) => isMet[index] !== true)
}

/** The Chromium of this machine, for playwright-core's `executablePath`. For suites under `describeNeeding('chromium', …)`. */
export async function chromiumPath(): Promise<string> {
  const path = await onPath(CHROMIUM, process.env)
  if (path === undefined) throw new Error('no chromium on PATH')
  return path
}

async function onPath(names: readonly string[], env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const path of names.flatMap((name) => folders.map((folder) => join(folder, name)))) if (await isExecutable(path)) return path
  return undefined
}

function canUnshare(more: readonly string[]): Promise<boolean> {
  return promisify(execFile)('unshare', [...more, '--pid', '--fork', '--mount-proc', '--ipc', '--', 'true']).then(
    () => true,
    () => false,
  )
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../dev/run-command.ts'

export const SYSTEM_CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'

/** A package of the npm registry that goes into an image and is no dependency of ours. */
export interface NpmPackage {
  readonly name: string
  readonly version: string
  /** As the registry and lockfiles have it: `sha512-…`. */
  readonly integrity: string
}

/**
 * Its archive, fetched once into `cache`.
 * @throws Error when it is not the one whose digest stands here, or cannot be had
 */
export async function npmArchive(cache: string, { name, version, integrity }: NpmPackage, env: NodeJS.ProcessEnv): Promise<string> {
  const path = join(cache, `${name.replaceAll(/\W+/g, '-')}-${version}.tgz`)
  if (await exists(path)) return path
  const unfinished = `${path}.new`
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished, { recursive: true })
  const file = join(unfinished, await npmPack(unfinished, `${name}@${version}`, env))
  const found = `sha512-${createHash('sha512').update(await readFile(file)).digest('base64')}`
  if (found !== integrity) throw new Error(`${name}@${version} has the digest ${found}, and was to have ${integrity}`)
  await rename(file, path)
  await rm(unfinished, { recursive: true })
  return path
}

/** The system's npm runs on the Node of this project here, which of itself trusts only what it was built with. @returns the archive's name in the folder */
export function npmPack(folder: string, what: string, env: NodeJS.ProcessEnv): Promise<string> {
  const trusting = existsSync(SYSTEM_CERTIFICATES) ? { NODE_EXTRA_CA_CERTS: SYSTEM_CERTIFICATES, ...env } : env
  return runCommand('npm', ['pack', '--loglevel=error', what], { cwd: folder, env: trusting })
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

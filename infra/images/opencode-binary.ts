import { access, mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { runCommand } from '../dev/run-command.ts'

export interface OpencodeBinary {
  readonly version: string
  /** The Linux program for this machine's kind of processor. */
  path(): Promise<string>
}

/**
 * The OpenCode program that goes into Linux images, of the version that the lockfile pins.
 * On Linux it is in node_modules; elsewhere it is fetched with npm into `cache`.
 */
export async function opencodeBinary(cache: string): Promise<OpencodeBinary> {
  const manifest = createRequire(import.meta.url).resolve('opencode-ai/package.json')
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string }
  const name = `opencode-linux-${process.arch}${await baselineSuffix()}`
  return { version, path: async () => (await installed(manifest, name)) ?? fetched(cache, name, version) }
}

/** The plain x64 build needs AVX2. */
async function baselineSuffix(): Promise<string> {
  if (process.arch !== 'x64' || process.platform !== 'linux') return ''
  return (await readFile('/proc/cpuinfo', 'utf8')).includes(' avx2 ') ? '' : '-baseline'
}

async function installed(manifest: string, name: string): Promise<string | undefined> {
  try {
    return createRequire(manifest).resolve(`${name}/bin/opencode`)
  } catch {
    return undefined
  }
}

async function fetched(cache: string, name: string, version: string): Promise<string> {
  const folder = join(cache, `${name}-${version}`)
  const path = join(folder, 'package/bin/opencode')
  if (await exists(path)) return path
  await mkdir(folder, { recursive: true })
  const file = await runCommand('npm', ['pack', '--silent', `${name}@${version}`], { cwd: folder })
  await runCommand('tar', ['-xzf', file], { cwd: folder })
  return path
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

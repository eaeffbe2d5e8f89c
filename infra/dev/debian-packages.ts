import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withLock } from './lock.ts'
import { runCommand } from './run-command.ts'

export interface UnpackOptions {
  readonly names: readonly string[]
  /** Holds everything: the result in `root/`, and what can be deleted. */
  readonly folder: string
  /** `host`: what this machine's apt is set up for, on top of what is installed. A suite: its packages with all they need, libc included. */
  readonly source: 'host' | { readonly suite: string; readonly mirror: string }
  readonly env: NodeJS.ProcessEnv
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * Gets Debian or Ubuntu packages without root and without touching the machine: a private apt resolves and
 * verifies them, and they are only unpacked, so no script of theirs runs. Done once per folder.
 * @returns the folder that stands for `/`
 * @throws Error with apt's last words
 */
export async function unpackDebianPackages(options: UnpackOptions): Promise<string> {
  const root = join(options.folder, 'root')
  await mkdir(options.folder, { recursive: true })
  await withLock(join(options.folder, 'lock'), async () => {
    if (await isUnpacked(options.folder)) return
    const work = join(options.folder, 'apt')
    await download(work, options)
    await unpackAll(join(work, 'cache/archives'), `${root}.new`, options.env)
    await rm(root, { recursive: true, force: true })
    await rename(`${root}.new`, root)
    await rm(work, { recursive: true, force: true })
  })
  return root
}

/** Whether `unpackDebianPackages` finished in this folder. */
export async function isUnpacked(folder: string): Promise<boolean> {
  return readdir(join(folder, 'root')).then(
    () => true,
    () => false,
  )
}

async function download(work: string, { names, source, env }: UnpackOptions): Promise<void> {
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'none']) await mkdir(join(work, folder), { recursive: true })
  const settings = source === 'host' ? hostSettings(work) : await suiteSettings(work, source)
  const words = settings.flatMap(([key, value]) => ['-o', `${key}=${value}`])
  const own = { ...env, HOME: work, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' }
  // One broken third-party source fails the whole update; what matters is whether the packages are found.
  const update = await runCommand('apt-get', [...words, '-qq', 'update'], { env: own }).then(() => '', String)
  await runCommand('apt-get', [...words, '-qq', '--yes', '--reinstall', '--download-only', 'install', ...names], { env: own }).catch((error: unknown) => {
    throw new Error(`cannot get the Debian packages ${names.join(', ')}: ${String(error)}\n${update}`.trim())
  })
}

type Setting = readonly [key: string, value: string]

function commonSettings(work: string): Setting[] {
  return [
    ['Dir::State', join(work, 'state')],
    ['Dir::Cache', join(work, 'cache')],
    ['APT::Install-Recommends', 'false'],
    // The private folders are not the user _apt's.
    ['APT::Sandbox::User', 'root'],
    ['Debug::NoLocking', 'true'],
    ['Acquire::Languages', 'none'],
    ['Acquire::Retries', '3'],
    ['Acquire::http::Timeout', '20'],
    ['Acquire::https::Timeout', '20'],
  ]
}

function hostSettings(work: string): Setting[] {
  return [...commonSettings(work), ['Dir::State::status', '/var/lib/dpkg/status']]
}

async function suiteSettings(work: string, { suite, mirror }: { suite: string; mirror: string }): Promise<Setting[]> {
  await writeFile(join(work, 'status'), '')
  await writeFile(join(work, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`)
  return [
    ...commonSettings(work),
    ['Dir::State::status', join(work, 'status')],
    ['Dir::Etc::sourcelist', join(work, 'sources.list')],
    ['Dir::Etc::sourceparts', join(work, 'none')],
    ['Dir::Etc::preferences', join(work, 'none/none')],
    ['Dir::Etc::preferencesparts', join(work, 'none')],
    // A mirror's copy of a rolling suite may be past its date; its signature is still checked.
    ['Acquire::Check-Valid-Until', 'false'],
  ]
}

async function unpackAll(archives: string, root: string, env: NodeJS.ProcessEnv): Promise<void> {
  await rm(root, { recursive: true, force: true })
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(root, 'usr', name), { recursive: true })
    await symlink(`usr/${name}`, join(root, name))
  }
  for (const file of (await readdir(archives)).filter((name) => name.endsWith('.deb'))) {
    await runCommand('bash', ['-c', UNPACK, 'unpack', join(archives, file), root], { env })
  }
}

// Not `dpkg-deb -x`: it would replace the links of a merged /usr by folders.
const UNPACK = `set -o pipefail; dpkg-deb --fsys-tarfile "$1" |
  tar -C "$2" --no-same-owner --no-same-permissions --keep-directory-symlink -x \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'`

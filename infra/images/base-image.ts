import { createHash } from 'node:crypto'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { debianMirror } from '../dev/debian-mirror.ts'
import { runCommand } from '../dev/run-command.ts'
import type { DockerCommand } from './docker-command.ts'

const REGISTRY_IMAGE = 'debian:bookworm-slim'
const SUITE = 'bookworm'
/** What images of ours need of Debian, so that a build on this base asks no package server. */
const PACKAGES = ['ca-certificates', 'git', 'ripgrep']
const TAG = `longshore/base:${createHash('sha256').update(JSON.stringify([SUITE, PACKAGES, 1])).digest('hex').slice(0, 12)}`

/**
 * A Debian to build images on: the registry's, else one made here from Debian's packages (root, about 25 s, kept as a file).
 * @param folder keeps the file
 * @returns the image's name on this engine
 * @throws Error with both reasons when neither can be had
 */
export async function ensureBaseImage(docker: DockerCommand, folder: string, say: (line: string) => void): Promise<string> {
  for (const name of [TAG, REGISTRY_IMAGE]) if (await docker.succeeds('image', 'inspect', name)) return name
  const archive = join(folder, `${TAG.replaceAll(/\W/g, '-')}.tar`)
  if (!(await exists(archive))) {
    say(`pulling ${REGISTRY_IMAGE}`)
    const refusal = await docker.run('pull', '--quiet', REGISTRY_IMAGE).then(() => undefined, String)
    if (refusal === undefined) return REGISTRY_IMAGE
    say('no registry can be reached: making the base image from Debian packages')
    await bootstrap(folder, archive).catch((error: unknown) => {
      throw new Error(`no base image. From the registry: ${refusal}\nFrom Debian packages (needs root and debootstrap): ${String(error)}`)
    })
  }
  await docker.run('import', '--change', 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', archive, TAG)
  return TAG
}

async function bootstrap(folder: string, archive: string): Promise<void> {
  const root = join(folder, 'base.new')
  await rm(root, { recursive: true, force: true })
  await mkdir(root, { recursive: true })
  try {
    await runCommand('debootstrap', ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, root, await debianMirror()])
    const surplus = ['var/cache/apt/archives', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/man', 'usr/share/locale', 'dev'].map((path) => `./${path}/*`)
    const unfinished = `${archive}.new`
    await runCommand('tar', ['-C', root, ...surplus.map((path) => `--exclude=${path}`), '-cf', unfinished, '.'])
    await rename(unfinished, archive)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

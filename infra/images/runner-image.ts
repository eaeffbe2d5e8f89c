import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { withLock } from '../dev/lock.ts'
import { ensureBaseImage } from './base-image.ts'
import { dockerCommand, type DockerCommand } from './docker-command.ts'
import { opencodeBinary } from './opencode-binary.ts'

const NAME = 'longshore/runner'
const DOCKERFILE = join(import.meta.dirname, 'runner.Dockerfile')

export interface BuildOptions {
  /** The engine, in the form of DOCKER_HOST. */
  readonly dockerHost: string
  readonly env: NodeJS.ProcessEnv
  /** Keeps what is worth keeping between builds. */
  readonly folder: string
  readonly say: (line: string) => void
}

/**
 * Builds the image that docker mode runs tasks in, unless this engine has it: the tag is the hash of what goes in.
 * @returns its name with that tag; `longshore/runner:latest` names the same image
 */
export async function ensureRunnerImage({ dockerHost, env, folder, say }: BuildOptions): Promise<string> {
  const docker = dockerCommand(dockerHost, env)
  const opencode = await opencodeBinary(folder)
  const content = JSON.stringify([await readFile(DOCKERFILE, 'utf8'), opencode.version, process.arch])
  const tag = `${NAME}:${createHash('sha256').update(content).digest('hex').slice(0, 12)}`
  await mkdir(folder, { recursive: true })
  await withLock(join(folder, 'lock'), async () => {
    if (!(await docker.succeeds('image', 'inspect', tag))) {
      const base = await ensureBaseImage(docker, folder, say)
      say(`building ${tag} on ${base}`)
      await build(docker, { base, tag, folder, program: await opencode.path() })
    }
    await docker.run('tag', tag, `${NAME}:latest`)
  })
  return tag
}

interface Build {
  readonly base: string
  readonly tag: string
  readonly folder: string
  readonly program: string
}

async function build(docker: DockerCommand, { base, tag, folder, program }: Build): Promise<void> {
  const context = await mkdtemp(join(folder, 'context-'))
  try {
    await copyFile(program, join(context, 'opencode'))
    await chmod(join(context, 'opencode'), 0o755)
    await docker.run('build', '--quiet', '--file', DOCKERFILE, '--build-arg', `BASE=${base}`, '--tag', tag, context)
  } finally {
    await rm(context, { recursive: true, force: true })
  }
}

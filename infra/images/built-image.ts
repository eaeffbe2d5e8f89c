import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DockerCommand } from './docker-command.ts'

export interface BuiltImage {
  /** Without a tag: the tag is the hash of `recipe`. */
  readonly name: string
  /** The Dockerfile. */
  readonly recipe: string
  /** Puts what the recipe copies into the build's folder. */
  readonly fill?: (context: string) => Promise<void>
}

/**
 * Builds an image unless this engine has it.
 * @param folder for the build's context; it is gone afterwards
 * @returns its name with tag
 */
export async function ensureBuilt(docker: DockerCommand, folder: string, { name, recipe, fill }: BuiltImage): Promise<string> {
  const tag = `${name}:${createHash('sha256').update(recipe).digest('hex').slice(0, 12)}`
  if (await docker.succeeds('image', 'inspect', tag)) return tag
  await mkdir(folder, { recursive: true })
  const context = await mkdtemp(join(folder, 'context-'))
  try {
    await writeFile(join(context, 'Dockerfile'), recipe)
    await fill?.(context)
    await docker.run('build', '--quiet', '--tag', tag, context)
  } finally {
    await rm(context, { recursive: true, force: true })
  }
  return tag
}

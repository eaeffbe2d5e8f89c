import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type ComposeBases, devFolder, ensureComposeBases } from '@longshore/infra'
import { engineHost } from './engine.ts'

/** How Compose is called here: the plugin of the docker program, else Debian's program; undefined where there is neither. */
export async function composeCommand(env: NodeJS.ProcessEnv): Promise<readonly [string, ...string[]] | undefined> {
  for (const command of [['docker', 'compose'], ['docker-compose']] as const) {
    const [program, ...words] = command
    const answers = await promisify(execFile)(program, [...words, 'version'], { env }).then(() => true, () => false)
    if (answers) return command
  }
  return undefined
}

/** The images that compose.yaml starts from, or stand-ins where no registry is reachable: up to a minute the first time. */
export async function composeBases(): Promise<ComposeBases> {
  return ensureComposeBases({ dockerHost: await engineHost(), env: process.env, folder: devFolder('images'), say: (line) => process.stderr.write(`${line}\n`) })
}

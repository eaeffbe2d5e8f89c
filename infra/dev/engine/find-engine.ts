import { succeeds } from '../run-command.ts'
import { enginePlace } from './dockerd-settings.ts'
import { answeringEngine, engineCandidates } from './engine-address.ts'
import { startPrivateEngine } from './private-engine.ts'

const ENGINE_CURE = 'start Docker, or as root on Debian or Ubuntu: apt-get install docker.io debootstrap iptables'

/** The engine that answers now, in the form of DOCKER_HOST: the machine's own before our private one. Starts nothing. */
export function findEngine(folder: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const uid = process.getuid?.() ?? 0
  return answeringEngine([...engineCandidates(env, uid), `unix://${enginePlace(folder).socket}`])
}

/** Whether an engine answers, or a private one could be started here. */
export async function hasEngine(folder: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  return (await findEngine(folder, env)) !== undefined || (await canStartEngine(env))
}

/**
 * The engine that answers, else a private one.
 * @throws Error with the cure when there can be none
 */
export async function ensureEngine(folder: string, env: NodeJS.ProcessEnv): Promise<string> {
  const running = await findEngine(folder, env)
  if (running !== undefined) return running
  if (await canStartEngine(env)) return startPrivateEngine(folder, env)
  throw new Error(`no Docker Engine answers: ${ENGINE_CURE}`)
}

async function canStartEngine(env: NodeJS.ProcessEnv): Promise<boolean> {
  return process.platform === 'linux' && process.getuid?.() === 0 && (await succeeds('dockerd', ['--version'], { env }))
}

import { request } from 'node:http'
import { join } from 'node:path'

/** One try may take this long (ms): a starting dockerd answers late, and one on a busy machine must not be taken for none. */
const PING_MS = 20_000

/** Where an engine may listen without being asked to: DOCKER_HOST, else the default, Docker Desktop's and a rootless engine's sockets. */
export function engineCandidates(env: NodeJS.ProcessEnv, uid: number): string[] {
  const given = env['DOCKER_HOST']
  if (given !== undefined && given !== '') return [given]
  return ['/var/run/docker.sock', join(env['HOME'] ?? '/', '.docker/run/docker.sock'), `/run/user/${uid}/docker.sock`].map(
    (path) => `unix://${path}`,
  )
}

/** The first engine that answers, in the form of DOCKER_HOST. */
export async function answeringEngine(candidates: readonly string[]): Promise<string | undefined> {
  for (const dockerHost of candidates) if (await pingEngine(dockerHost)) return dockerHost
  return undefined
}

export function pingEngine(dockerHost: string): Promise<boolean> {
  const target = dockerHost.startsWith('unix://')
    ? { socketPath: dockerHost.slice('unix://'.length) }
    : { host: hostOf(dockerHost)?.hostname, port: hostOf(dockerHost)?.port }
  return new Promise((resolve) => {
    const call = request({ ...target, path: '/_ping', timeout: PING_MS }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve(false))
    call.end()
  })
}

function hostOf(dockerHost: string): URL | undefined {
  return URL.parse(dockerHost.replace(/^tcp:/, 'http:')) ?? undefined
}

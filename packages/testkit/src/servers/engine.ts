import { devFolder, ensureEngine, ensureQwenImage, ensureRunnerImage } from '@longshore/infra'

/** The address of a real Docker Engine, in the form of DOCKER_HOST; starts a private one where none answers. */
export function engineHost(): Promise<string> {
  return ensureEngine(devFolder('engine'), process.env)
}

/** The path of that engine's unix socket, for dockerode's `socketPath`. */
export async function engineSocket(): Promise<string> {
  const host = await engineHost()
  if (!host.startsWith('unix://')) throw new Error(`these tests need an engine on a unix socket; DOCKER_HOST is ${host}`)
  return host.slice('unix://'.length)
}

/** The runner image on that engine, built if it is not there: up to a minute the first time. */
export async function runnerImage(): Promise<string> {
  return ensureRunnerImage(await buildOptions())
}

/** The same with an agent of the npm registry in it, which is fetched the first time (33 MB). */
export async function qwenImage(): Promise<string> {
  return ensureQwenImage(await buildOptions())
}

async function buildOptions(): Promise<Parameters<typeof ensureRunnerImage>[0]> {
  return { dockerHost: await engineHost(), env: process.env, folder: devFolder('images'), say: (line) => process.stderr.write(`${line}\n`) }
}

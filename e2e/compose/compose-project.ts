import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '@longshore/redis-server'
import { composeBases, composeCommand, engineSocket, scriptedProviderConfig } from '@longshore/testkit'
import { createProjectContainers, type ProjectContainers } from './project-containers.ts'

const ROOT = join(import.meta.dirname, '../..')
const FILES = ['compose.yaml', 'compose.docker.yaml', 'e2e/compose/compose.test.yaml']
/** One that the scripted model does not need. */
const PROVIDER_KEY = 'GROQ_API_KEY'
/** None of them is a default. */
const RUNNER_LIMITS = { cpus: 1.5, memoryBytes: 1536 * 1024 ** 2, pids: 300 }

/** The stack of compose.yaml with docker mode and a scripted model, under a name of its own on a real engine. */
export interface ComposeProject extends ProjectContainers {
  readonly name: string
  readonly gatewayUrl: string
  readonly agentKey: string
  readonly operatorKey: string
  /** The key of a provider that agents are to get, under its usual name. */
  readonly providerKey: { readonly name: string; readonly value: string }
  /** What agents in docker mode may use, as it stands in .env. */
  readonly runnerLimits: { readonly cpus: number; readonly memoryBytes: number; readonly pids: number }
  /** The group of the engine's socket. */
  readonly socketGroup: string
  /** What must stand in no process list. */
  readonly secrets: readonly string[]
  /** The images that were built, with their tag. */
  images(): Promise<string[]>
  /** How much each image adds to the Node image, in bytes. */
  imageSizes(): Promise<Record<string, number>>
  compose(...words: string[]): Promise<string>
  /** What Compose makes of the files when this setting is not there. */
  configWithout(setting: string): Promise<string>
  docker(...words: string[]): Promise<string>
  /** Starts what does not run, with so many workers of OpenCode mode, and waits until all are healthy. */
  up(workers: number): Promise<void>
  logs(): Promise<string>
  /** Down with volumes, and the storage of docker mode removed. */
  remove(): Promise<void>
}

/** Builds the images; nothing runs yet. */
export async function createComposeProject(): Promise<ComposeProject> {
  const command = await composeCommand(process.env)
  if (command === undefined) throw new Error('Compose is not here')
  const env = await environment()
  const { COMPOSE_PROJECT_NAME: name } = env
  const [program, ...first] = [...command, ...FILES.flatMap((file) => ['--file', file])]
  const docker = (...words: string[]): Promise<string> => run('docker', words, env)
  const compose = (...words: string[]): Promise<string> => run(program, [...first, ...words], env)
  const images = async (): Promise<string[]> => (await docker('images', '--filter', `reference=longshore/*:${env.LONGSHORE_TAG}`, '--format', '{{.Repository}}:{{.Tag}}')).trim().split('\n')
  const sizeOf = async (image: string): Promise<number> => Number(await docker('image', 'inspect', '--format', '{{.Size}}', image))
  const copies = await mkdtemp(join(tmpdir(), `${name}-copies-`))
  const seen = createProjectContainers(docker, name, copies)
  await compose('build')
  return {
    name,
    gatewayUrl: `http://127.0.0.1:${env.MCP_PORT}`,
    agentKey: env.LONGSHORE_AGENT_KEY,
    operatorKey: env.LONGSHORE_API_KEY,
    providerKey: { name: PROVIDER_KEY, value: env[PROVIDER_KEY] },
    runnerLimits: RUNNER_LIMITS,
    socketGroup: env.DOCKER_GID,
    secrets: [env.LONGSHORE_AGENT_KEY, env.LONGSHORE_API_KEY, env.REDIS_PASSWORD, env.OPENCODE_SERVER_PASSWORD, env.SCRIPTED_PROVIDER_TOKEN, env[PROVIDER_KEY]],
    imageSizes: async () => {
      const base = await sizeOf(env.NODE_IMAGE)
      return Object.fromEntries(await Promise.all((await images()).map(async (image) => [image.slice('longshore/'.length, image.indexOf(':')), (await sizeOf(image)) - base] as const)))
    },
    images, compose, docker, ...seen,
    up: async (workers) => {
      await compose('up', '--detach', '--no-build', '--scale', `worker=${workers}`)
      await seen.untilHealthy()
    },
    configWithout: (setting) => run(program, [...first, 'config'], { ...env, [setting]: '' }),
    logs: () => compose('logs', '--no-color', '--tail=60'),
    remove: async () => {
      await compose('down', '--volumes', '--timeout', '30')
      for (const folder of [env.WORKSPACE_DIR, copies]) await rm(folder, { recursive: true, force: true })
    },
  }
}

async function run(program: string, words: string[], env: Record<string, string>): Promise<string> {
  const options = { cwd: ROOT, env: { ...process.env, ...env }, maxBuffer: 64 << 20 }
  const { stdout } = await promisify(execFile)(program, words, options).catch((error: Error & { stdout?: string; stderr?: string }) => {
    const said = [error.stdout, error.stderr].join('\n').trim().split('\n').slice(-40).join('\n')
    throw new Error(`${program} ${words.join(' ')} failed:\n${said}`, { cause: error })
  })
  return stdout
}

/** What a person would write into .env, with ports and names that disturb nobody. */
async function environment() {
  const name = `longshore-compose-${randomBytes(4).toString('hex')}`
  const secret = (): string => randomBytes(24).toString('hex')
  const [socket, mcp, console, redis, provider, health] = await Promise.all([engineSocket(), freePort(), freePort(), freePort(), freePort(), freePort()])
  const bases = await composeBases()
  const workspaces = await mkdtemp(join(tmpdir(), `${name}-`))
  const token = secret()
  // Two checkouts on one engine do not build under one name.
  const tag = `test-${createHash('sha256').update(ROOT).digest('hex').slice(0, 8)}`
  const { provider: providers, model } = scriptedProviderConfig('http://provider:4010/v1', token)
  return {
    DOCKER_HOST: `unix://${socket}`, DOCKER_BUILDKIT: '0', COMPOSE_DOCKER_CLI_BUILD: '0', COMPOSE_PROJECT_NAME: name,
    LONGSHORE_DEPLOYMENT: name, LONGSHORE_TAG: tag, NODE_IMAGE: bases.node, REDIS_IMAGE: bases.redis, RUNNER_IMAGE: `longshore/opencode:${tag}`,
    REDIS_PASSWORD: secret(), LONGSHORE_API_KEY: secret(), LONGSHORE_AGENT_KEY: secret(), OPENCODE_SERVER_PASSWORD: secret(), SCRIPTED_PROVIDER_TOKEN: token,
    MCP_PORT: String(mcp), CONSOLE_PORT: String(console), REDIS_PORT: String(redis), SCRIPTED_PROVIDER_PORT: String(provider), DOCKER_WORKER_HEALTH_PORT: String(health),
    DOCKER_SOCKET: socket, DOCKER_GID: String((await stat(socket)).gid), WORKSPACE_DIR: workspaces,
    OPENCODE_MODEL: model, OPENCODE_CONFIG: JSON.stringify({ provider: providers }), DRAIN_GRACE_MS: '1000', WORKER_CONCURRENCY: '1',
    RUNNER_CPU_LIMIT: String(RUNNER_LIMITS.cpus), RUNNER_MEMORY_LIMIT: `${RUNNER_LIMITS.memoryBytes / 1024 ** 2}m`, RUNNER_PIDS_LIMIT: String(RUNNER_LIMITS.pids),
    [PROVIDER_KEY]: secret(),
  }
}

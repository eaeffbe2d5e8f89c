import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { DeploymentId, SILENT, TaskId } from '@longshore/contracts'
import { createApiKeys, createLedger, keysOf, type Ledger } from '@longshore/ledger'
import { type RedisServer, type ScriptedProvider, startRedis, startScriptedProvider, waitFor } from '@longshore/testkit'
import { Redis } from 'ioredis'
import { type Agent, createAgent } from './agent.ts'
import { type AppName, type AppProcess, startApp, type Tree } from './app-process.ts'
import type { Engine } from './engine.ts'
import { leftoversOf, sayLeft, sweep } from './leftovers.ts'
import { type ClientKind, createMcpAgent, type McpAgent } from './mcp-agent.ts'

type Env = Readonly<Record<string, string>>

export interface StackOptions {
  /** Default 1. */
  gateways?: number
  /** Default 1. */
  workers?: number
  /** Default 0. */
  notifiers?: number
  /** Docker mode runs on it; without one only OpenCode mode is served. */
  engine?: Engine | undefined
  /** For all apps. */
  env?: Env
}

/** A whole deployment: real processes on a real Redis with AOF, and a scripted model provider. */
export interface Stack {
  readonly deployment: string
  readonly redis: RedisServer
  readonly provider: ScriptedProvider
  /** What the provider wants to see. */
  readonly providerToken: string
  readonly engine: Engine | undefined
  /** The storage: one folder per task. */
  readonly workspaces: string
  readonly keys: Keys
  /** Forgets a task, as a Redis that lost it would: what runs of it is nobody's then. */
  forget(taskId: string): Promise<void>
  /** The records, read past the doors: what changes within milliseconds is seen. */
  readonly ledger: Pick<Ledger, 'get'>
  /** Alice and Bob are agents; all over HTTP, each call to the next gateway. */
  readonly alice: Agent
  readonly bob: Agent
  readonly operator: Agent
  /** Alice over MCP. */
  mcp(client: ClientKind): McpAgent
  /** Those that run. */
  apps(name: AppName): AppProcess[]
  /** Starts one more; `health`: without waiting for its parts. `tree`: of another version. */
  add(name: AppName, env?: Env, until?: 'ready' | 'health', tree?: Tree): Promise<AppProcess>
  /** Ends all apps, all at once; Redis and provider stay. */
  endApps(how: 'SIGKILL' | 'SIGTERM'): Promise<void>
  /** What each app wrote last; for failed tests. */
  logs(): string
  /** Ends everything. @throws Error when an app did not leave with 0 or something of the deployment is left */
  stop(): Promise<void>
}

interface Keys { readonly alice: string; readonly bob: string; readonly operator: string }

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const deployment = `e2e-${randomBytes(8).toString('hex')}`
  const home = await mkdtemp(join(tmpdir(), `longshore-${deployment}-`))
  const token = randomBytes(16).toString('hex')
  const [redis, provider] = await Promise.all([startRedis({ aof: 'always' }), startScriptedProvider({ token, log: SILENT })])
  const keys = await makeKeys(redis.url, deployment)
  const env = { ...baseEnv(deployment, home, options.engine), REDIS_URL: redis.url, SCRIPTED_PROVIDER_URL: provider.url, SCRIPTED_PROVIDER_TOKEN: token, ...options.env }
  const apps: AppProcess[] = []
  const reader = new Redis(redis.url, { maxRetriesPerRequest: null })
  reader.on('error', () => undefined) // tests take Redis away
  const stack = assemble({ reader, deployment, home, redis, provider, providerToken: token, engine: options.engine, keys, env, apps })
  const wanted = [...times<AppName>('gateway', options.gateways ?? 1), ...times<AppName>('worker', options.workers ?? 1), ...times<AppName>('notifier', options.notifiers ?? 0)]
  const started = await Promise.allSettled(wanted.map((name) => stack.add(name)))
  const failed = started.find((one) => one.status === 'rejected')
  if (failed === undefined) return stack
  await stack.stop().catch(() => undefined)
  throw failed.reason
}

/** Of each app, in the report of a failure. */
const LOG_CHARACTERS = 6_000

interface Parts extends Pick<Stack, 'deployment' | 'redis' | 'provider' | 'providerToken' | 'engine' | 'keys'> { home: string; env: Env; apps: AppProcess[]; reader: Redis }

function assemble(parts: Parts): Stack {
  const { deployment, home, redis, provider, providerToken, engine, keys, env, apps, reader } = parts
  const running = (name: AppName): AppProcess[] => apps.filter((one) => one.app === name && one.isRunning())
  let [turn, count] = [0, 0]
  const starting: Promise<AppProcess>[] = []
  const nextUrl = (): string => {
    const gateways = running('gateway')
    const gateway = gateways[turn++ % gateways.length]
    if (gateway === undefined) throw new Error('no gateway runs')
    return gateway.url
  }
  return {
    deployment, redis, provider, providerToken, engine, keys,
    workspaces: join(home, 'workspaces'),
    forget: async (taskId) => {
      const names = keysOf(deployment)
      const id = TaskId.parse(taskId)
      await reader.multi().del(names.task(id), names.log(id)).srem(names.live, id).zrem(names.tasks, id).zrem(names.agent('agent-alice'), id).exec()
    },
    ledger: createLedger({ redis: reader, deployment: DeploymentId.parse(deployment), log: SILENT }),
    alice: createAgent(nextUrl, keys.alice), bob: createAgent(nextUrl, keys.bob), operator: createAgent(nextUrl, keys.operator),
    mcp: (client) => createMcpAgent(client, nextUrl, keys.alice),
    apps: running,
    async add(name, more = {}, until = 'ready', tree) {
      // Tests ask often: what a gateway says of each call would bury the rest.
      const start = startApp(name, `${name}-${++count}`, { ...env, ...(name === 'gateway' ? { LOG_LEVEL: 'info' } : {}), ...more }, until, tree).then((one) => (apps.push(one), one))
      starting.push(start)
      return start
    },
    async endApps(how) {
      await Promise.all(apps.filter((one) => one.isRunning()).map((one) => (how === 'SIGKILL' ? one.kill9() : one.stop())))
    },
    logs: () => apps.map((one) => `-- ${one.name}\n${one.output().slice(-LOG_CHARACTERS)}`).join('\n'),
    stop: async () => {
      await Promise.allSettled(starting)
      await stopAll({ deployment, home, redis, provider, engine, apps, reader })
    },
  }
}

async function stopAll({ deployment, home, redis, provider, engine, apps, reader }: Omit<Parts, 'keys' | 'env' | 'providerToken'>): Promise<void> {
  const faults: string[] = []
  // Who takes tasks first, who tells of them last.
  for (const name of ['gateway', 'worker', 'notifier'] as const) {
    const running = apps.filter((one) => one.app === name && one.isRunning())
    const codes = await Promise.all(running.map((one) => one.stop()))
    running.forEach((one, index) => { if (codes[index] !== 0) faults.push(`${one.name} left with ${codes[index] ?? 'SIGKILL'}`) })
  }
  reader.disconnect()
  await Promise.all([provider.stop(), redis.stop()])
  const places = { engineSocket: engine?.socket }
  // The relay of the task network notices within a moment that the network is gone.
  await waitFor(async () => (await leftoversOf(deployment, places)).length === 0, { what: 'nothing to be left', timeoutMs: 15_000 }).catch(() => undefined)
  const left = await leftoversOf(deployment, places)
  if (left.length > 0) faults.push(`left behind: ${sayLeft(left)}`)
  await sweep(left, places)
  await rm(home, { recursive: true, force: true, maxRetries: 5 })
  if (faults.length > 0) throw new Error(`the stack did not end cleanly: ${faults.join('; ')}\n${apps.map((one) => one.output().slice(-2_000)).join('\n')}`)
}

/** What every app gets; nothing of the environment in which the tests run. */
function baseEnv(deployment: string, home: string, engine: Engine | undefined): Env {
  return {
    HOME: home,
    LONGSHORE_HOME: home,
    LONGSHORE_DEPLOYMENT: deployment,
    WORKSPACE_DIR: join(home, 'workspaces'),
    NODE_COMPILE_CACHE: join(tmpdir(), 'longshore-e2e-compile-cache'),
    LOG_LEVEL: 'debug',
    // Tests of weather should not wait for it.
    RETRY_DELAY_MS: '200',
    DRAIN_GRACE_MS: '1000',
    ...(engine === undefined ? { WORKER_MODES: 'opencode' } : { DOCKER_HOST: engine.host, RUNNER_IMAGE: engine.image }),
  }
}

async function makeKeys(redisUrl: string, deployment: string): Promise<Keys> {
  const redis = new Redis(redisUrl)
  try {
    const keys = createApiKeys(redis, deployment)
    const [alice, bob, operator] = await Promise.all([keys.make({ agentId: 'agent-alice' }, 'alice'), keys.make({ agentId: 'agent-bob' }, 'bob'), keys.make('operator', 'operator')])
    return { alice: alice.key, bob: bob.key, operator: operator.key }
  } finally {
    redis.disconnect()
  }
}

function times<T>(value: T, count: number): T[] {
  return Array.from({ length: count }, () => value)
}

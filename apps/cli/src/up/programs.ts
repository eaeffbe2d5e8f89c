import { join } from 'node:path'
import type { Settings } from '@longshore/runtime'
import { reachable } from '../stack.ts'
import type { ModelChoice } from './choose-model.ts'
import type { Program } from './supervise.ts'

/** Everything that was decided before the first program starts. */
export interface StackPlan {
  /** The folder of the checkout. */
  root: string
  home: string
  settings: Settings
  env: Readonly<Record<string, string | undefined>>
  redisUrl: string
  ports: { gateway: number; console: number; worker: number; notifier: number; provider: number }
  model: ModelChoice
  /** Start value of the rollout; undefined: the environment says it. */
  startPercent: number | undefined
  providerToken: string
}

// The programs verify keys by their digests in Redis. Whoever supervises agents should not hold the keys themselves.
const FOR_US_ONLY = ['LONGSHORE_API_KEY', 'LONGSHORE_AGENT_KEY'] as const

const START_MS = 60_000
/** For what has nothing to finish but open requests. */
const STOP_MS = 10_000
/** Who presses Ctrl-C wants it to end, and the next start goes on with what was running. */
const DRAIN_MS = 3_000
/**
 * Then the worker checkpoints what still runs: seconds as a rule, and at most this, by bounds of its own. One that is killed
 * before leaves the processes of its agents behind.
 */
const CHECKPOINT_MS = 70_000

/** The programs of a stack, in the order in which they stop: no new tasks, then the running ones, then who tells of them. */
export function programsOf(plan: StackPlan): Program[] {
  const { settings, ports } = plan
  const base = baseEnv(plan)
  const gatewayHost = reachable(settings.MCP_HOST)
  const app = (name: string, env: Readonly<Record<string, string>>, healthUrl: string, stopMs = STOP_MS): Program => ({
    name, script: join(plan.root, 'apps', name, 'src/main.ts'), env: { ...base, ...env }, startMs: START_MS, stopMs, isReady: answersOk(healthUrl),
  })
  return [
    app('gateway', { MCP_PORT: String(ports.gateway) }, `http://${gatewayHost}:${ports.gateway}/health`),
    app('worker', { WORKER_HEALTH_PORT: String(ports.worker), DRAIN_GRACE_MS: String(drainMs(plan)), ...workerEnv(plan) }, `http://${reachable(settings.WORKER_HEALTH_HOST)}:${ports.worker}/health`, drainMs(plan) + CHECKPOINT_MS),
    app('notifier', { NOTIFIER_HEALTH_PORT: String(ports.notifier) }, `http://${reachable(settings.NOTIFIER_HEALTH_HOST)}:${ports.notifier}/health`),
    app('console', { CONSOLE_PORT: String(ports.console) }, `http://${reachable(settings.CONSOLE_HOST)}:${ports.console}/health`),
    ...(plan.model.kind === 'scripted' ? [provider(plan, base)] : []),
  ]
}

function drainMs({ env, settings }: StackPlan): number {
  return (env['DRAIN_GRACE_MS'] ?? '') === '' ? DRAIN_MS : settings.DRAIN_GRACE_MS
}

function baseEnv({ env, home, redisUrl, ports, startPercent }: StackPlan): Record<string, string> {
  const inherited = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && !FOR_US_ONLY.some((name) => name === entry[0]))
  return {
    ...Object.fromEntries(inherited),
    LONGSHORE_HOME: home,
    REDIS_URL: redisUrl,
    MCP_PORT: String(ports.gateway),
    CONSOLE_PORT: String(ports.console),
    // One record a line: the supervisor makes it readable.
    LOG_FORMAT: 'json',
    // From the second start on, nothing is stripped and compiled again.
    NODE_COMPILE_CACHE: env['NODE_COMPILE_CACHE'] ?? join(home, 'cache', 'node'),
    ...(startPercent === undefined ? {} : { CANARY_OPENCODE_PERCENT: String(startPercent) }),
  }
}

function workerEnv({ settings, model, ports, providerToken }: StackPlan): Record<string, string> {
  if (model.kind === 'scripted') return { SCRIPTED_PROVIDER_URL: `http://127.0.0.1:${ports.provider}/v1`, SCRIPTED_PROVIDER_TOKEN: providerToken }
  return { ...model.add, RUNNER_ENV: [...new Set([...settings.RUNNER_ENV, ...model.pass])].join(',') }
}

function provider({ root, ports, providerToken }: StackPlan, base: Record<string, string>): Program {
  return {
    name: 'model', script: join(root, 'packages/testkit/src/scripted-provider/main.ts'), startMs: START_MS, stopMs: STOP_MS,
    env: { ...base, SCRIPTED_PROVIDER_PORT: String(ports.provider), SCRIPTED_PROVIDER_TOKEN: providerToken },
    isReady: answersOk(`http://127.0.0.1:${ports.provider}/v1/models`, { authorization: `Bearer ${providerToken}` }),
  }
}

function answersOk(url: string, headers: Record<string, string> = {}): Program['isReady'] {
  return async (signal) => {
    const response = await fetch(url, { headers, signal })
    await response.body?.cancel()
    return response.ok
  }
}

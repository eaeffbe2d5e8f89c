import { resolve } from 'node:path'

import { createDockerMode, createOpencodeMode, type DockerModeOptions, type ModelAccess, type OpencodeModeOptions, type Storage } from '@longshore/backends'
import { type Backend, type Egress, type Isolation, ISOLATIONS, type Log, type Mode } from '@longshore/contracts'
import type { Settings } from '@longshore/runtime'
import { z } from 'zod'

export interface BuildBackendsOptions {
  settings: Settings
  /** The worker's environment: `RUNNER_ENV` names what of it agents get. */
  env: Readonly<Record<string, string | undefined>>
  /** This process's user id; undefined where there is none. */
  uid: number | undefined
  gid: number | undefined
  storage: Storage
  /** The way out of agents. */
  egress?: Egress | undefined
  log: Log
}

const DEFAULT_ENGINE = 'unix:///var/run/docker.sock'

/** One backend per mode that this worker serves. @throws Error that names the variable that does not fit */
export async function buildBackends(options: BuildBackendsOptions): Promise<Backend[]> {
  const { settings } = options
  const make: Record<Mode, () => Promise<Backend>> = {
    docker: () => Promise.resolve(createDockerMode(dockerOptions(options))),
    opencode: () => createOpencodeMode(opencodeOptions(options)),
  }
  const backends = await Promise.all([...new Set(settings.WORKER_MODES)].map((mode) => make[mode]()))
  return backends.map((backend) => withLeastIsolation(backend, settings.MIN_ISOLATION))
}

/** What agents on this host must not see besides other tasks: keys, the queue's password, the engine. */
export function hiddenPaths({ LONGSHORE_HOME: home, DOCKER_HOST: engine = DEFAULT_ENGINE }: Settings): string[] {
  return [resolve(home), ...(engine.startsWith('unix://') ? [engine.slice('unix://'.length)] : [])]
}

export function opencodeOptions({ settings, env, storage, egress, log }: BuildBackendsOptions): OpencodeModeOptions {
  const { OPENCODE_SERVER_URL: url, OPENCODE_SERVER_USERNAME: username, OPENCODE_SERVER_PASSWORD: password } = settings
  return {
    deployment: settings.LONGSHORE_DEPLOYMENT, storage, model: modelAccess(settings, env), path: env['PATH'] ?? '', log, egress, patience: patienceOf(settings), hidden: hiddenPaths(settings),
    ...(url === undefined ? {} : { server: { url, username, ...(password === undefined ? {} : { password }) } }),
  }
}

export function dockerOptions({ settings, env, uid, gid, storage, egress, log }: BuildBackendsOptions): DockerModeOptions {
  const model = modelAccess(settings, env)
  const modelOnHost = settings.SCRIPTED_PROVIDER_URL
  const command = settings.RUNNER_COMMAND
  return {
    deployment: settings.LONGSHORE_DEPLOYMENT, engine: settings.DOCKER_HOST ?? DEFAULT_ENGINE, storage, image: settings.RUNNER_IMAGE, model, log, egress, patience: patienceOf(settings),
    // Only root can give a workspace to somebody else.
    user: uid === undefined || gid === undefined || uid === 0 ? { uid: settings.RUNNER_UID, gid: settings.RUNNER_UID } : { uid, gid },
    limits: { cpus: settings.RUNNER_CPU_LIMIT, memoryBytes: parseBytes(settings.RUNNER_MEMORY_LIMIT), pids: settings.RUNNER_PIDS_LIMIT },
    ...(modelOnHost !== undefined && isLoopback(modelOnHost) ? { modelOnHost: new URL(modelOnHost).origin } : {}),
    ...(command === undefined ? {} : { commands: { opencode: { image: settings.RUNNER_IMAGE, command: ['sh', '-c', command], env: model.env } } }),
  }
}

/** How OpenCode servers and their sessions are watched, in both modes. */
function patienceOf(settings: Settings): NonNullable<DockerModeOptions['patience']> {
  const retryDelayMs = settings.OPENCODE_SERVER_RETRY_DELAY_MS
  return {
    lookEveryMs: settings.OPENCODE_SERVER_HEALTH_CHECK_INTERVAL_MS, retryDelayMs, unreachableMs: settings.OPENCODE_SERVER_MAX_RETRIES * retryDelayMs,
    stallMs: settings.STALL_MS, stallToolMs: settings.STALL_TOOL_MS,
  }
}

const OpencodeConfig = z.record(z.string(), z.unknown())

/** Which model agents use: the scripted one where `npm start` set it up, else what the operator configured. */
export function modelAccess(settings: Settings, env: Readonly<Record<string, string | undefined>>): ModelAccess {
  const named = settings.RUNNER_ENV.map((name) => [name, env[name]]).filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  const scripted = settings.SCRIPTED_PROVIDER_URL === undefined ? {} : scriptedModel(settings.SCRIPTED_PROVIDER_URL, settings.SCRIPTED_PROVIDER_TOKEN)
  return {
    config: { ...scripted, ...parseConfig(settings.OPENCODE_CONFIG), ...(settings.OPENCODE_MODEL === undefined ? {} : { model: settings.OPENCODE_MODEL }) },
    env: Object.fromEntries(named),
  }
}

function parseConfig(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {}
  try {
    return OpencodeConfig.parse(JSON.parse(text))
  } catch (error) {
    throw new Error('OPENCODE_CONFIG: not a JSON object; give a part of OpenCode\'s configuration such as {"model":"provider/model"}', { cause: error })
  }
}

/** As the testkit's scripted provider wants it; its name says what it is wherever a person reads it. */
function scriptedModel(baseURL: string, token = 'none'): Record<string, unknown> {
  const [provider, model] = ['scripted', 'longshore-scripted']
  const models = { [model]: { name: 'Longshore scripted model', tool_call: true, limit: { context: 200_000, output: 32_000 } } }
  return {
    model: `${provider}/${model}`, small_model: `${provider}/${model}`,
    provider: { [provider]: { npm: '@ai-sdk/openai-compatible', name: 'Scripted (not a real model)', options: { baseURL, apiKey: token }, models } },
  }
}

/** A mode that separates less than the operator asks for is off, and says so. */
export function withLeastIsolation(backend: Backend, least: Isolation | undefined): Backend {
  const { isolation } = backend.capabilities
  if (least === undefined || ISOLATIONS.indexOf(isolation) <= ISOLATIONS.indexOf(least)) return backend
  const reason = `its isolation is ${isolation}, and MIN_ISOLATION asks for ${least}`
  return { ...backend, probe: () => Promise.resolve({ ok: false, reason }) }
}

const FACTORS: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** `512m` in bytes; the setting's schema has checked the form. */
export function parseBytes(size: string): number {
  const unit = size.at(-1)?.toLowerCase() ?? ''
  return Number.parseInt(size, 10) * (FACTORS[unit] ?? 1)
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.')
}

import { join, resolve } from 'node:path'

import { accessOfAll, createDockerMode, createOpencodeMode, type DockerModeOptions, type DockerProfile, type GitAccess, type ModelAccess, type Offers, type OpencodeModeOptions, type Storage, type WorkspaceLimits } from '@longshore/backends'
import { type Backend, type BlobStore, type Egress, type Isolation, ISOLATIONS, type Log, type Mode, type Profile, type Profiles } from '@longshore/contracts'
import { allowedFrom, bytesOf, policyOf, type Settings } from '@longshore/runtime'
import { z } from 'zod'

export interface BuildBackendsOptions {
  settings: Settings
  /** The worker's environment: `RUNNER_ENV` names what of it agents get. */
  env: Readonly<Record<string, string | undefined>>
  /** This process's user id; undefined where there is none. */
  uid: number | undefined
  gid: number | undefined
  profiles: Profiles
  storage: Storage
  /** Where files are that were sent along with tasks. */
  blobs: BlobStore
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
export function hiddenPaths({ LONGSHORE_HOME: home, BLOBS_DIR: blobs, DOCKER_HOST: engine = DEFAULT_ENGINE, WORKSPACE_GIT_CREDENTIALS: credentials }: Settings): string[] {
  const named = [blobs, credentials].filter((path) => path !== undefined).map((path) => resolve(path))
  return [resolve(home), ...named, ...(engine.startsWith('unix://') ? [engine.slice('unix://'.length)] : [])]
}

export function opencodeOptions({ settings, env, profiles, storage, blobs, egress, log }: BuildBackendsOptions): OpencodeModeOptions {
  const { OPENCODE_SERVER_URL: url, OPENCODE_SERVER_USERNAME: username, OPENCODE_SERVER_PASSWORD: password } = settings
  const access = agentsAccess({ settings, env, profiles })
  return {
    deployment: settings.LONGSHORE_DEPLOYMENT, storage, git: gitAccess(settings), blobs, model: access.model, offers: access.offers, whole: accessOfAll(access), path: env['PATH'] ?? '', log, egress, patience: patienceOf(settings), policy: policyOf(settings), hidden: hiddenPaths(settings),
    ...(url === undefined ? {} : { server: { url, username, ...(password === undefined ? {} : { password }) } }),
  }
}

export function dockerOptions({ settings, env, uid, gid, profiles, storage, blobs, egress, log }: BuildBackendsOptions): DockerModeOptions {
  const modelOnHost = settings.SCRIPTED_PROVIDER_URL
  return {
    deployment: settings.LONGSHORE_DEPLOYMENT, engine: settings.DOCKER_HOST ?? DEFAULT_ENGINE, storage, git: gitAccess(settings), blobs, image: settings.RUNNER_IMAGE, ...agentsAccess({ settings, env, profiles }), log, egress, patience: patienceOf(settings), policy: policyOf(settings),
    // Only root can give a workspace to somebody else.
    user: uid === undefined || gid === undefined || uid === 0 ? { uid: settings.RUNNER_UID, gid: settings.RUNNER_UID } : { uid, gid },
    limits: { cpus: settings.RUNNER_CPU_LIMIT, memoryBytes: bytesOf(settings.RUNNER_MEMORY_LIMIT), pids: settings.RUNNER_PIDS_LIMIT, logBytes: bytesOf(settings.RUNNER_LOG_LIMIT) },
    ...(modelOnHost !== undefined && isLoopback(modelOnHost) ? { modelOnHost: new URL(modelOnHost).origin } : {}),
  }
}

/** Which keys and other variables agents get: of the deployment, of profiles, and of what a task may choose. */
export function agentsAccess({ settings, env, profiles }: Pick<BuildBackendsOptions, 'settings' | 'env' | 'profiles'>): { model: ModelAccess; offers: Offers; profiles: Record<string, DockerProfile> } {
  return {
    model: modelAccess(settings, env), offers: offersOf(settings, env),
    profiles: Object.fromEntries(Object.entries(profiles).map(([name, profile]) => [name, dockerProfile(profile, settings, env)])),
  }
}

/** Which repositories tasks may have, with what, and how large. */
export function gitAccess(settings: Settings): GitAccess {
  return {
    allow: settings.WORKSPACE_GIT_ALLOW, timeoutMs: settings.WORKSPACE_GIT_TIMEOUT_MS,
    credentialsFile: resolve(settings.WORKSPACE_GIT_CREDENTIALS ?? join(settings.LONGSHORE_HOME, 'git-credentials.json')),
    limits: workspaceLimits(settings),
  }
}

export function workspaceLimits(settings: Settings): WorkspaceLimits {
  return { bytes: bytesOf(settings.WORKSPACE_MAX_BYTES), files: settings.WORKSPACE_MAX_FILES }
}

/** What a task may choose, with the values behind the names. */
function offersOf(settings: Settings, env: Environment): Offers {
  const allowed = allowedFrom(settings)
  return { ...allowed, env: valuesOf(allowed.envNames, env) }
}

/** A profile as docker mode runs it: its names have values, and what it leaves out is the deployment's. */
function dockerProfile(profile: Profile, settings: Settings, env: Environment): DockerProfile {
  const { driver, image = settings.RUNNER_IMAGE, command = [], cpu, memory_mb: memoryMb } = profile
  const limits = { ...(cpu === undefined ? {} : { cpus: cpu }), ...(memoryMb === undefined ? {} : { memoryBytes: memoryMb * 1024 ** 2 }) }
  if (driver === 'opencode') return { driver, image, limits }
  const given = { image, limits, command, env: valuesOf(profile.env ?? settings.RUNNER_ENV, env), set: profile.set }
  if (driver === 'command') return { driver, ...given, unasked: profile.unasked }
  return { driver, ...given, permission: profile.permission, isOpencode: profile.opencode_config, ...(profile.auth_method === undefined ? {} : { authMethod: profile.auth_method }) }
}

type Environment = BuildBackendsOptions['env']

function valuesOf(names: readonly string[], env: Environment): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, env[name]]).filter((pair): pair is [string, string] => typeof pair[1] === 'string'))
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
export function modelAccess(settings: Settings, env: Environment): ModelAccess {
  const scripted = settings.SCRIPTED_PROVIDER_URL === undefined ? {} : scriptedModel(settings.SCRIPTED_PROVIDER_URL, settings.SCRIPTED_PROVIDER_TOKEN)
  return {
    config: { ...scripted, ...parseConfig(settings.OPENCODE_CONFIG), ...(settings.OPENCODE_MODEL === undefined ? {} : { model: settings.OPENCODE_MODEL }) },
    env: valuesOf(settings.RUNNER_ENV, env),
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

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.')
}

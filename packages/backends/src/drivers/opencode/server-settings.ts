import { join } from 'node:path'
import { decideTool, layersOf, namedTools, NO_RULES, type PermissionPolicy } from '@longshore/contracts'
import { z } from 'zod'
import type { SessionRule } from './session-api.ts'
import type { Workspace } from '../../workspace/storage.ts'

/** Which model an agent uses, and how it is paid for. */
export interface ModelAccess {
  /** A part of OpenCode's configuration: `model`, `small_model`, `provider`, … */
  config: Record<string, unknown>
  /** Provider keys and the like, by the names the provider wants. Secret: they reach the agent's environment and nothing else. */
  env: Record<string, string>
  /** The content of OpenCode's `auth.json`, for who logged in there. Secret. */
  auth?: string
}

/** A model call that says nothing for this long is over; OpenCode's own default is five minutes in all. */
const PROVIDER_TIMEOUT_MS = 600_000
const CHUNK_TIMEOUT_MS = 120_000

const BUILT_IN = layersOf(NO_RULES, { agent_id: '' })

/**
 * The policies as OpenCode's configuration has them, for its sub-agents too: a tool that they do not settle as a whole asks, and what then comes
 * of it the worker decides by its subject. The tool `question` does not ask whether it may ask: its questions do.
 */
export function permissionConfig(layers: readonly PermissionPolicy[]): Record<string, string> {
  const tools = ['*', ...new Set([...namedTools(layers), 'question'])]
  return Object.fromEntries(tools.map((tool) => {
    const action = decideTool(layers, tool)
    return [tool, tool === 'question' && action === 'ask' ? 'allow' : action]
  }))
}

/** What a session on a server with a configuration of its own is to do besides: only what is stricter than allowing. Its sub-agents inherit the denials alone. */
export function sessionRules(layers: readonly PermissionPolicy[]): SessionRule[] {
  return Object.entries(permissionConfig(layers)).flatMap(([permission, action]) => (action === 'ask' || action === 'deny' ? [{ permission, pattern: '*', action }] : []))
}

/**
 * The whole environment of a task's OpenCode server: its own home beside `repo`, our configuration, the model's keys; nothing of the worker's.
 * @param place PATH inside the place (undefined: the image's own), where temporary files go, and what the agent may do (default: the built-in policy)
 */
export function serverEnvironment(workspace: Workspace, model: ModelAccess, password: string, place: { path?: string; temporary: string; permissions?: readonly PermissionPolicy[] }): Record<string, string> {
  const state = (name: string): string => join(workspace.state, name)
  return {
    ...model.env,
    ...(place.path === undefined ? {} : { PATH: place.path }),
    LANG: 'C.UTF-8',
    HOME: state('home'),
    XDG_CONFIG_HOME: state('config'), XDG_DATA_HOME: state('data'), XDG_CACHE_HOME: state('cache'), XDG_STATE_HOME: state('run'),
    TMPDIR: place.temporary,
    OPENCODE_SERVER_PASSWORD: password,
    OPENCODE_CONFIG_CONTENT: JSON.stringify(serverConfig(model.config, place.permissions)),
    OPENCODE_DISABLE_PROJECT_CONFIG: '1', // a repository that is not trusted brings no plugins and no commands of its own
    OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1', OPENCODE_DISABLE_MODELS_FETCH: '1',
    ...(model.auth === undefined ? {} : { OPENCODE_AUTH_CONTENT: model.auth }),
  }
}

const Provider = z.looseObject({ options: z.looseObject({}).default({}) })
const ConfigPart = z.looseObject({ model: z.string().optional(), provider: z.record(z.string(), Provider).default({}) })

/** The configuration of a task's server: the model's part, under settings that are ours. */
export function serverConfig(model: Record<string, unknown>, permissions: readonly PermissionPolicy[] = BUILT_IN): Record<string, unknown> {
  const { provider, ...rest } = ConfigPart.parse(model)
  const chosen = rest.model?.split('/')[0]
  const names = new Set([...Object.keys(provider), ...(chosen === undefined ? [] : [chosen])])
  return {
    ...rest,
    provider: Object.fromEntries([...names].map((name) => [name, withTimeouts(provider[name] ?? { options: {} })])),
    autoupdate: false, share: 'disabled', snapshot: false, permission: permissionConfig(permissions),
  }
}

function withTimeouts(provider: z.infer<typeof Provider>): object {
  return { ...provider, options: { timeout: PROVIDER_TIMEOUT_MS, chunkTimeout: CHUNK_TIMEOUT_MS, ...provider.options } }
}

/** What must not appear in events: see `redactor`. Of JSON (a login, a configuration) each secret in it. */
export function secretsOf(model: ModelAccess, password: string | undefined): string[] {
  const given = [...Object.values(model.env), ...(model.auth === undefined ? [] : [model.auth])]
  return [...given, ...given.flatMap((text) => secretsIn(parsed(text))), ...(password === undefined ? [] : [password]), ...secretsIn(model.config)]
}

/** Names under which logins and configurations keep secrets: apiKey, key, access, refresh, Authorization, x-api-key, … */
const SECRET_NAME = /key|token|secret|password|authorization|^access$|^refresh$/i

function secretsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => (typeof inner === 'string' ? (SECRET_NAME.test(name) ? [inner] : []) : secretsIn(inner)))
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

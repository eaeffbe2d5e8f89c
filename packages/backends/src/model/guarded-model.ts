import type { ModelProvider } from '@longshore/contracts'
import { z } from 'zod'
import type { ModelAccess } from '../drivers/opencode/server-settings.ts'
import { ALWAYS, type KnownProvider, PROVIDERS } from './providers.ts'

/** How an agent gets out: the proxy's origin, and the token by which it knows the execution. */
export interface WayOut { origin: string; token: string }

/** A model's access with the keys taken out. */
export interface GuardedModel {
  /** What the proxy needs in order to put them in. */
  providers: ModelProvider[]
  /** What cannot be kept from agents in this way and is therefore not given to them: `OPENCODE_AUTH_CONTENT: …`. */
  withheld: string[]
  /** What an agent gets that is let out this way: of `part` (default: all) the same providers, through the proxy, with the token for every key, also for those of other parts. */
  through(way: WayOut, part?: ModelAccess): ModelAccess
}

const Provider = z.looseObject({
  env: z.array(z.string()).optional(),
  api: z.string().optional(),
  options: z.looseObject({ baseURL: z.string().optional(), apiKey: z.string().optional(), headers: z.record(z.string(), z.string()).default({}) }).prefault({}),
})
type Provider = z.infer<typeof Provider>
const Config = z.looseObject({ model: z.string().optional(), small_model: z.string().optional(), provider: z.record(z.string(), Provider).default({}) })
const Login = z.looseObject({ type: z.string(), key: z.string().optional() })

const AUTH = 'OPENCODE_AUTH_CONTENT'

/** @throws Error that names the provider whose key cannot be kept */
export function guardModel(model: ModelAccess): GuardedModel {
  const config = Config.parse(model.config)
  const logins = loginsOf(model)
  const providers = [...namesOf(model)].map((name) => providerOf(name, model, config.provider[name], logins[name])).filter((one) => one !== undefined)
  const withheld = Object.entries(logins).filter(([name, { type }]) => type !== 'api' || !providers.some((one) => one.name === name))
    .map(([name, { type }]) => `${AUTH}: the login of "${name}" (${type})${type === 'api' ? ' needs provider options.baseURL in OPENCODE_CONFIG' : ''}`)
  return { providers, withheld, through: (way, part = model) => through(part, providers, way) }
}

/** Providers that an agent may ask for. */
function namesOf(model: ModelAccess): Set<string> {
  const config = Config.parse(model.config)
  const known = Object.entries(PROVIDERS).filter(([, { env }]) => env.some((name) => model.env[name] !== undefined)).map(([name]) => name)
  const chosen = [config.model, config.small_model].flatMap((one) => one?.split('/')[0] ?? [])
  return new Set([...Object.keys(config.provider), ...known, ...chosen, ...Object.keys(loginsOf(model)), ALWAYS])
}

function providerOf(name: string, { env }: ModelAccess, given: Provider | undefined, login: z.infer<typeof Login> | undefined): ModelProvider | undefined {
  const known: KnownProvider | undefined = PROVIDERS[name]
  const fromEnv = [...(given?.env ?? []), ...(known?.env ?? [])].map((one) => env[one]).find((value) => value !== undefined && value !== '')
  const key = filled(given?.options.apiKey, env) ?? fromEnv ?? (login?.type === 'api' ? login.key : undefined)
  const base = filled(given?.options.baseURL, env) ?? given?.api ?? ownBase(known, env) ?? known?.base
  if (base === undefined) {
    if (given?.options.apiKey !== undefined) throw new Error(`OPENCODE_CONFIG: the provider "${name}" has a key and no options.baseURL: give it, so that the egress proxy can keep the key from agents, or set EGRESS=off`)
    return undefined
  }
  const headers = Object.fromEntries(Object.entries(given?.options.headers ?? {}).map(([header, value]) => [header.toLowerCase(), filled(value, env) ?? '']))
  const free = key === undefined && known?.freeKey !== undefined ? { authorization: `Bearer ${known.freeKey}` } : {}
  return { name, base, ...(key === undefined || key === '' ? {} : { key }), headers: { ...free, ...headers } }
}

/** What a provider's address has behind that which its variable names: `/v1` of Anthropic's, nothing of OpenAI's. */
function tailOf({ base, baseEnv }: KnownProvider): string {
  return new URL(base).pathname.slice(baseEnv?.[1].length ?? 0)
}

/** A gateway that the operator put in a provider's place. */
function ownBase(known: KnownProvider | undefined, env: Readonly<Record<string, string>>): string | undefined {
  const variable = known?.baseEnv?.[0]
  const value = variable === undefined ? undefined : env[variable]?.replace(/\/+$/, '')
  if (known === undefined || value === undefined || value === '') return undefined
  if (!/^https?:$/.test(URL.parse(value)?.protocol ?? '')) throw new Error(`${variable}: not the URL of a model provider`)
  return value.endsWith(tailOf(known)) ? value : value + tailOf(known)
}

/** OpenCode fills `{env:NAME}` in itself, where the agent runs; the proxy cannot. */
function filled(text: string | undefined, env: Readonly<Record<string, string>>): string | undefined {
  return text?.replaceAll(/\{env:([^}]+)\}/g, (_whole, name: string) => env[name] ?? '')
}

function through(model: ModelAccess, providers: readonly ModelProvider[], way: WayOut): ModelAccess {
  const [config, logins, names] = [Config.parse(model.config), Object.keys(loginsOf(model)), namesOf(model)]
  const changed = providers.filter(({ name }) => names.has(name)).map((one) => [one.name, throughProxy(config.provider[one.name], one, way)] as const)
  const auth = JSON.stringify(Object.fromEntries(logins.filter((name) => providers.some((one) => one.name === name && one.key !== undefined)).map((name) => [name, { type: 'api', key: way.token }])))
  const { [AUTH]: login, ...env } = environment(model.env, providers, way)
  return {
    config: { ...config, provider: { ...config.provider, ...Object.fromEntries(changed) } },
    env: login === undefined ? env : { ...env, [AUTH]: auth },
    ...(model.auth === undefined ? {} : { auth }),
  }
}

/** Without a key OpenCode offers free models alone: it is to see none then. The token stands in a header. */
function throughProxy(given: Provider | undefined, { name, base, key }: ModelProvider, { origin, token }: WayOut): object {
  const { apiKey: _key, headers: _headers, ...options } = given?.options ?? { headers: {} }
  const baseURL = `${origin}${proxyPath(name, base)}`
  const isFree = key === undefined && PROVIDERS[name]?.freeKey !== undefined
  return { ...given, options: { ...options, baseURL, ...(isFree ? { headers: { 'x-api-key': token } } : { apiKey: token }) } }
}

function proxyPath(name: string, base: string): string {
  return `/model/${encodeURIComponent(name)}${new URL(base).pathname.replace(/\/+$/, '')}`
}

/** Each variable that holds a provider's key holds the token; the rest is the operator's choice, and stays. */
function environment(env: Readonly<Record<string, string>>, providers: readonly ModelProvider[], { origin, token }: WayOut): Record<string, string> {
  const keys = new Set(providers.flatMap(({ key, headers }) => [...(key === undefined ? [] : [key]), ...Object.values(headers)]))
  const names = new Set(providers.flatMap(({ name }) => PROVIDERS[name]?.env ?? []))
  const replaced = Object.entries(env).map(([name, value]) => [name, keys.has(value) || names.has(name) ? token : value] as const)
  const bases = providers.flatMap(({ name, base }) => {
    const known = PROVIDERS[name]
    if (known?.baseEnv === undefined || !known.env.some((one) => env[one] !== undefined)) return []
    const path = proxyPath(name, base)
    return [[known.baseEnv[0], origin + (path.endsWith(tailOf(known)) ? path.slice(0, path.length - tailOf(known).length) : path)] as const]
  })
  return Object.fromEntries([...replaced, ...bases])
}

function loginsOf({ auth, env }: ModelAccess): Record<string, z.infer<typeof Login>> {
  const text = auth ?? env[AUTH]
  if (text === undefined || text === '') return {}
  try {
    return z.record(z.string(), Login).parse(JSON.parse(text))
  } catch {
    throw new Error(`${AUTH}: not the content of OpenCode's auth.json`)
  }
}

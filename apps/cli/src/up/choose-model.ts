/** Which model the tasks of this stack use. */
export type ModelChoice =
  | { kind: 'scripted'; why: string }
  /** `pass`: names of variables that the agent's place needs; `add`: variables to set for the worker. */
  | { kind: 'own'; from: string; pass: string[]; add: Readonly<Record<string, string>> }

/** What was found on this machine. */
export interface ModelSources {
  wanted: 'auto' | 'scripted'
  env: Readonly<Record<string, string | undefined>>
  /** The text of the user's OpenCode auth file, if there is one. */
  authFile?: string | undefined
}

/** Variables under which providers' keys are known to OpenCode. */
const PROVIDER_KEYS = [
  'ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'OPENROUTER_API_KEY', 'GEMINI_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY', 'GROQ_API_KEY', 'MISTRAL_API_KEY', 'DEEPSEEK_API_KEY',
  'XAI_API_KEY', 'CEREBRAS_API_KEY', 'TOGETHER_API_KEY', 'FIREWORKS_API_KEY', 'OPENCODE_API_KEY', 'MOONSHOT_API_KEY', 'ZHIPU_API_KEY',
] as const

/** OpenCode reads its credentials from this variable in place of its auth file. */
const AUTH_CONTENT = 'OPENCODE_AUTH_CONTENT'

/**
 * The user's own provider where one is configured, else the scripted one.
 * Keys of the environment and OpenCode's auth file go together; a task's agent gets both.
 */
export function chooseModel({ wanted, env, authFile }: ModelSources): ModelChoice {
  if (wanted === 'scripted') return { kind: 'scripted', why: 'LONGSHORE_MODEL=scripted' }
  const has = (name: string) => (env[name] ?? '') !== ''
  const keys = PROVIDER_KEYS.filter(has)
  const logins = authFile === undefined ? [] : providersOf(authFile)
  const from = [
    ...(logins.length === 0 ? [] : [`OpenCode login (${logins.join(', ')})`]), ...keys,
    ...(has('OPENCODE_CONFIG') ? ['OPENCODE_CONFIG'] : []), ...(has(AUTH_CONTENT) ? [AUTH_CONTENT] : []),
    ...(has('OPENCODE_SERVER_URL') ? ['the remote OpenCode server'] : []),
  ]
  if (from.length === 0) return { kind: 'scripted', why: 'no provider key and no OpenCode login found' }
  const content = logins.length > 0 && !has(AUTH_CONTENT) ? authFile : undefined
  const pass = [...keys, ...(content !== undefined || has(AUTH_CONTENT) ? [AUTH_CONTENT] : [])]
  return { kind: 'own', from: from.join(', '), pass, add: content === undefined ? {} : { [AUTH_CONTENT]: content } }
}

/** The providers that the user has logged in to; none when the file is not what it should be. */
function providersOf(text: string): string[] {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return []
    return Object.keys(parsed).filter((name) => /^[\w.-]{1,60}$/.test(name))
  } catch {
    return []
  }
}

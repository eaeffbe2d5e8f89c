/** A provider whose address OpenCode knows by itself, so that nobody writes it down. */
export interface KnownProvider {
  base: string
  /** Environment variables in which its key is looked for. */
  env: readonly string[]
  /** A variable by which plain commands are led elsewhere, and what they expect there behind the origin. */
  baseEnv?: readonly [name: string, path: string]
  /** What it takes from who has no key, for its free models. */
  freeKey?: string
}

/** By OpenCode's names. */
export const PROVIDERS: Readonly<Record<string, KnownProvider>> = {
  'anthropic': { base: 'https://api.anthropic.com/v1', env: ['ANTHROPIC_API_KEY'], baseEnv: ['ANTHROPIC_BASE_URL', ''] },
  'openai': { base: 'https://api.openai.com/v1', env: ['OPENAI_API_KEY'], baseEnv: ['OPENAI_BASE_URL', '/v1'] },
  'openrouter': { base: 'https://openrouter.ai/api/v1', env: ['OPENROUTER_API_KEY'] },
  'google': { base: 'https://generativelanguage.googleapis.com/v1beta', env: ['GOOGLE_GENERATIVE_AI_API_KEY', 'GEMINI_API_KEY'], baseEnv: ['GOOGLE_GEMINI_BASE_URL', ''] },
  'groq': { base: 'https://api.groq.com/openai/v1', env: ['GROQ_API_KEY'] },
  'mistral': { base: 'https://api.mistral.ai/v1', env: ['MISTRAL_API_KEY'] },
  'deepseek': { base: 'https://api.deepseek.com', env: ['DEEPSEEK_API_KEY'] },
  'xai': { base: 'https://api.x.ai/v1', env: ['XAI_API_KEY'] },
  'cerebras': { base: 'https://api.cerebras.ai/v1', env: ['CEREBRAS_API_KEY'] },
  'togetherai': { base: 'https://api.together.xyz/v1', env: ['TOGETHER_API_KEY'] },
  'fireworks-ai': { base: 'https://api.fireworks.ai/inference/v1', env: ['FIREWORKS_API_KEY'] },
  'opencode': { base: 'https://opencode.ai/zen/v1', env: ['OPENCODE_API_KEY'], freeKey: 'public' },
  'moonshotai': { base: 'https://api.moonshot.ai/v1', env: ['MOONSHOT_API_KEY'] },
  'zhipuai': { base: 'https://open.bigmodel.cn/api/paas/v4', env: ['ZHIPU_API_KEY'] },
}

/** Variables that lead plain commands to a provider. */
export const BASE_VARIABLES: readonly string[] = Object.values(PROVIDERS).flatMap(({ baseEnv }) => (baseEnv === undefined ? [] : [baseEnv[0]]))

/** What an agent has that chooses its model itself. */
export const ALWAYS = 'opencode'

export const SCRIPTED_PROVIDER = 'scripted'
export const SCRIPTED_MODEL = 'longshore-scripted'

/**
 * The part of an OpenCode configuration that makes the scripted model its model.
 * @param url the provider's base URL as OpenCode reaches it, ending in `/v1`
 * @param token the bearer token the provider checks, if it has one
 */
export function scriptedProviderConfig(url: string, token?: string): { model: string; small_model: string; provider: Record<string, object> } {
  const model = `${SCRIPTED_PROVIDER}/${SCRIPTED_MODEL}`
  return {
    model,
    small_model: model,
    provider: {
      [SCRIPTED_PROVIDER]: {
        npm: '@ai-sdk/openai-compatible',
        name: 'Scripted (not a real model)',
        options: { baseURL: url, apiKey: token ?? 'none' },
        models: { [SCRIPTED_MODEL]: { name: 'Longshore scripted model', tool_call: true, limit: { context: 200_000, output: 32_000 } } },
      },
    },
  }
}

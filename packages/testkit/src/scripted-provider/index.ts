export { SCRIPTED_MODEL, SCRIPTED_PROVIDER, scriptedProviderConfig } from './opencode-config.ts'
export { type ScriptedProvider, type ScriptedProviderOptions, startScriptedProvider } from './server.ts'

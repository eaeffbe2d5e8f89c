export { describeNeeding } from './needs/describe-needing.ts'
export { chromiumPath } from './needs/missing-needs.ts'
export { type Need } from './needs/need.ts'
export { type BlackHole, startBlackHole } from './servers/black-hole.ts'
export { composeBases, composeCommand } from './servers/compose.ts'
export { engineHost, engineSocket, runnerImage } from './servers/engine.ts'
export { type OwnEngine, startOwnEngine } from './servers/own-engine.ts'
export { type RedisServer, startRedis, type StartRedisOptions } from './servers/redis.ts'
export { sharedRedisUrl } from './servers/shared-redis.ts'
export { type MatrixUser, startSynapse, type StartSynapseOptions, type SynapseServer } from './servers/synapse.ts'
export { waitFor, type WaitForOptions } from './wait-for.ts'
export {
  SCRIPTED_MODEL, SCRIPTED_PROVIDER, type ScriptedProvider, scriptedProviderConfig, type ScriptedProviderOptions, startScriptedProvider,
} from './scripted-provider/index.ts'

export { chooseMode, RolloutPolicy } from './choose-mode.ts'
export { createRolloutStore, type RolloutStore, startPercent, type StartValues } from './rollout-store.ts'

import type { RolloutPolicy, RolloutStore, StartValues } from '@longshore/rollout'

import type { Ports } from './operations/operation.ts'

/** Another process's change takes effect within this time (ms): reading the policy at every submit would cost a round trip each. */
const POLICY_TTL_MS = 1_000

/** The rollout policy, read at most once a second. @param now monotonic milliseconds */
export function createLiveRollout(store: RolloutStore, start: StartValues, now: () => number): Ports['rollout'] {
  let known: { policy: RolloutPolicy; at: number } | undefined
  const remember = (policy: RolloutPolicy) => {
    known = { policy, at: now() }
    return policy
  }
  return {
    get: async () => (known !== undefined && now() - known.at < POLICY_TTL_MS ? known.policy : remember(await store.get(start))),
    set: async (percent, by) => remember(await store.set(percent, by)),
  }
}

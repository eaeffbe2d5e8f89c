import type { RolloutPolicy } from '@longshore/rollout'
import { z } from 'zod'
import { defineOperation, type Operation, type Ports } from './operation.ts'
import { Timestamp, toTimestamp } from './parameters.ts'

const RolloutView = z.object({
  opencode_percent: z.number().describe('Share of agents whose tasks run in OpenCode mode, 0 to 100.'),
  updated_at: Timestamp.optional().describe('Absent while the start value from the environment holds.'),
  updated_by: z.string(),
})

function viewRollout(policy: RolloutPolicy): z.output<typeof RolloutView> {
  return {
    opencode_percent: policy.opencode_percent,
    ...(policy.updated_at === 0 ? {} : { updated_at: toTimestamp(policy.updated_at) }),
    updated_by: policy.updated_by,
  }
}

export function getRollout(ports: Ports): Operation {
  return defineOperation({
    name: 'get_rollout',
    title: 'Rollout policy',
    description: 'How tasks are split between the modes.',
    input: z.strictObject({}),
    output: RolloutView,
    hints: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'GET', path: '/api/rollout' },
    isTool: false,
    handle: async () => viewRollout(await ports.rollout.get()),
  })
}

/** Takes effect in this process at once and in the others within a second. */
export function setRollout(ports: Ports): Operation {
  return defineOperation({
    name: 'set_rollout',
    title: 'Change the rollout policy',
    description: 'Sets the share of OpenCode mode for tasks submitted from now on. Raising it moves no agent back.',
    input: z.strictObject({ opencode_percent: z.number().min(0).max(100) }),
    output: RolloutView,
    hints: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    scope: 'operate',
    route: { method: 'PUT', path: '/api/rollout' },
    isTool: false,
    handle: async ({ opencode_percent }, { caller }) => viewRollout(await ports.rollout.set(opencode_percent, `operator:${caller.keyId}`)),
  })
}

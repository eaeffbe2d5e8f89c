import { AgentId, LongshoreError } from '@longshore/contracts'

import type { Call } from './operation.ts'

/**
 * For which agent a task is submitted. An agent's key speaks for its own agent only: `agent_id` and `x-agent-id` are
 * accepted when they say the same (L-05, L-06). An operator's key must name one; the parameter wins over the header.
 * @throws LongshoreError forbidden, invalid_input
 */
export function actingAgent({ caller, agentIdHeader }: Call, parameter: AgentId | undefined): AgentId {
  const own = caller.agentId
  if (!caller.isOperator && own !== undefined) {
    for (const [field, named] of [['agent_id', parameter], ['x-agent-id', agentIdHeader]] as const) {
      if (named !== undefined && named !== own) {
        throw new LongshoreError('forbidden', `${field} names another agent than the API key belongs to`, {
          field, next: `Leave ${field} out, or use that agent's own key.`,
        })
      }
    }
    return own
  }
  const named = parameter ?? agentIdHeader ?? own
  if (named === undefined) {
    throw new LongshoreError('invalid_input', 'agent_id is missing: an operator\'s key belongs to no agent', { field: 'agent_id', next: 'Name the agent that the task is for.' })
  }
  const agentId = AgentId.safeParse(named)
  if (!agentId.success) throw new LongshoreError('invalid_input', `x-agent-id: ${agentId.error.issues[0]?.message ?? 'not an agent id'}`, { field: 'x-agent-id' })
  return agentId.data
}

/**
 * Whose tasks are read: an agent's key reads its own agent's, an operator's those of the named one, or with undefined of all (G11).
 * @throws LongshoreError forbidden
 */
export function ownOrAnyAgent({ caller }: Pick<Call, 'caller'>, parameter: AgentId | undefined): AgentId | undefined {
  if (!caller.isOperator && parameter !== undefined && parameter !== caller.agentId) {
    throw new LongshoreError('forbidden', 'agent_id names another agent than the API key belongs to', { field: 'agent_id', next: 'Leave agent_id out.' })
  }
  if (!caller.isOperator && caller.agentId === undefined) throw new LongshoreError('forbidden', 'the API key belongs to no agent', { next: 'Use an agent\'s key, or an operator\'s.' })
  return parameter ?? (caller.isOperator ? undefined : caller.agentId)
}

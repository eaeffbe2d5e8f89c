import type { PermissionPolicy } from '@longshore/contracts'
import { z } from 'zod'
import { type ModelAccess, permissionConfig } from './server-settings.ts'

/**
 * OpenCode's own ACP has no tool `question`, and passes on nothing that its sub-agents ask, who would wait for ever (seen in its version 1.18.33):
 * where a policy leaves anything to be asked, it has no sub-agents.
 */
export function layersOverAcp(layers: readonly PermissionPolicy[]): PermissionPolicy[] {
  const asks = Object.values(permissionConfig(layers)).includes('ask')
  return [...layers, { question: 'deny', ...(asks ? { task: 'deny' } : {}) }]
}

const Experimental = z.looseObject({}).catch({})

/** The protocol's refusal has no words, and without these OpenCode ends its turn at one. */
export function askingOverAcp(model: ModelAccess): ModelAccess {
  return { ...model, config: { ...model.config, experimental: { ...Experimental.parse(model.config['experimental']), continue_loop_on_deny: true } } }
}

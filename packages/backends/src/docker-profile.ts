import type { Backend, Choice, Choices, Egress, PermissionPolicy, PolicyRules } from '@longshore/contracts'
import { createAcpBackend } from './acp-backend.ts'
import { COMMAND_CHOICES, createCommandBackend } from './command-backend.ts'
import type { Patience } from './drivers/opencode/patience.ts'
import { askingOverAcp, layersOverAcp } from './drivers/opencode/over-acp.ts'
import { type ModelAccess, secretsOf, serverEnvironment } from './drivers/opencode/server-settings.ts'
import type { GuardedModel, WayOut } from './model/guarded-model.ts'
import { createOpencodeBackend } from './opencode-backend.ts'
import { containerPlace, reachable } from './places/container-place.ts'
import type { Containers } from './places/containers.ts'
import type { Limits } from './places/container-spec.ts'
import type { TaskNetwork } from './places/task-network.ts'
import { envOf, EVERY_CHOICE, modelOfTask, type Offers } from './task-choices.ts'
import type { Workspace } from './workspace/storage.ts'
import type { WorkspaceSource } from './workspace/task-workspace.ts'

/** What runs in a container, and how it is talked to. `env` is secret, `set` is not. */
export type DockerProfile = { image: string; limits?: Partial<Limits> } & (
  /** Its own OpenCode server. */
  | { driver: 'opencode' }
  /** Any agent that speaks the Agent Client Protocol. */
  | { driver: 'acp'; command: readonly string[]; env: Record<string, string>; set?: Record<string, string>; authMethod?: string; permission: 'allow' | 'deny'; isOpencode: boolean }
  /** Any program; it gets the prompt on its stdin. */
  | { driver: 'command'; command: readonly string[]; env: Record<string, string>; set?: Record<string, string>; unasked?: boolean }
)

/** What all profiles of a mode share. */
export interface ProfileContext {
  containers: Containers
  /** Where workspaces are, and what they may begin with. */
  source: WorkspaceSource
  /** What agents may do without asking. */
  policy?: PolicyRules
  offers: Offers
  model: ModelAccess
  patience: Patience
  /** The origin of a service on this host's loopback: containers get the network's gateway in its place. */
  hostOrigin?: string
  /** The way out of containers, and what agents get that are let out there. */
  egress: Egress | undefined
  guarded: GuardedModel | undefined
}

export interface ProfileBackend { backend: Backend; choices: readonly Choice[] }

/** Whatever a profile's driver is, as a backend. */
export function backendOf(profile: DockerProfile, context: ProfileContext): ProfileBackend {
  const { containers, source, offers, model, patience, hostOrigin, policy, egress, guarded } = context
  const limited = profile.limits === undefined ? {} : { limits: profile.limits }
  switch (profile.driver) {
    case 'opencode': {
      const place = containerPlace({ containers, image: profile.image, model, offers, guarded, ...limited, ...(hostOrigin === undefined ? {} : { hostOrigin }) })
      return { backend: createOpencodeBackend({ mode: 'docker', place, ...source, model, offers, patience, egress, ...(policy === undefined ? {} : { policy }) }), choices: EVERY_CHOICE }
    }
    case 'acp': {
      const { image, command, permission, authMethod, isOpencode } = profile
      const backend = createAcpBackend({
        containers, ...source, offers, patience, egress, image, command, permission, isModelInEnvironment: isOpencode, ...limited, ...(policy === undefined ? {} : { policy }),
        ...(authMethod === undefined ? {} : { authMethod }),
        environment: (workspace, choices, layers, network, out) => agentEnvironment(profile, context, workspace, { choices, layers, network, out }),
        secrets: [...Object.values(profile.env), ...(isOpencode ? secretsOf(model, undefined) : [])],
      })
      return { backend, choices: EVERY_CHOICE }
    }
    case 'command':
    default: return { backend: createCommandBackend({ ...profile, containers, ...source, offers, egress, guarded, ...limited, ...(policy === undefined ? {} : { policy }) }), choices: COMMAND_CHOICES }
  }
}

interface AgentSpec { choices: Choices; layers: readonly PermissionPolicy[]; network: TaskNetwork; out: WayOut | undefined }

/** A home beside `repo`, and what the profile and the task name; nothing of the worker's. An OpenCode gets what its server would get, which nobody but the worker talks to: no password. */
function agentEnvironment(profile: DockerProfile & { driver: 'acp' }, context: ProfileContext, workspace: Workspace, { choices, layers, network, out }: AgentSpec): Record<string, string> {
  const { hostOrigin, guarded, offers } = context
  const model = profile.isOpencode ? askingOverAcp(modelOfTask(context.model, choices, offers)) : { config: {}, env: envOf(choices, offers) }
  const named: ModelAccess = { ...model, env: { ...model.env, ...profile.env, ...profile.set } }
  const all = serverEnvironment(workspace, reachable(named, { gateway: network.gateway, hostOrigin, guarded, out }), '', { temporary: '/tmp', permissions: layersOverAcp(layers) })
  return Object.fromEntries(Object.entries(all).filter(([name]) => profile.isOpencode ? name !== 'OPENCODE_SERVER_PASSWORD' : !name.startsWith('OPENCODE_')))
}

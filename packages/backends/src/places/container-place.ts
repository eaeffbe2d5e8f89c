import { TaskFailure } from '@longshore/contracts'
import { z } from 'zod'
import { type ModelAccess, serverEnvironment } from '../drivers/opencode/server-settings.ts'
import type { GuardedModel, WayOut } from '../model/guarded-model.ts'
import { passwordOf, renewPassword } from '../workspace/prepare.ts'
import { choicesWithin, EVERY_CHOICE, limitsOfTask, modelOfTask, NO_OFFERS, type Offers } from '../task-choices.ts'
import { executionOf, type Limits } from './container-spec.ts'
import type { Containers } from './containers.ts'
import { type HandleData, type Launch, type ServerPlace, watchdogSeconds } from './server-place.ts'
import type { TaskNetwork } from './task-network.ts'

export interface ContainerPlaceOptions {
  containers: Containers
  /** Must hold `opencode`, `sh`, `timeout`, `git` and `rg`. */
  image: string
  model: ModelAccess
  /** What tasks may choose. Default: nothing. */
  offers?: Offers
  /** Of its profile, within those of all containers. */
  limits?: Partial<Limits>
  /** The origin of a service on this host's loopback that `model` names: containers get the network's gateway in its place. */
  hostOrigin?: string
  /** What agents get that are let out through the egress proxy. */
  guarded: GuardedModel | undefined
}

const PORT = 4096
const Data = z.object({ container: z.string() })

/** An `opencode serve` in a container per task, reached at the container's address on the deployment's network. */
export function containerPlace({ containers, image, model, hostOrigin, guarded, offers = NO_OFFERS, limits }: ContainerPlaceOptions): ServerPlace {
  return {
    isolation: 'container',
    ownServer: true,
    owner: containers.user,
    probe: () => containers.probe(image),
    engineId: () => containers.engineId(),
    reserve: ({ task, claim }) => ({ container: containers.nameOf(task.id, claim) }),
    start: async (launch, reserved) => {
      const choices = choicesWithin(launch.task, offers, EVERY_CHOICE)
      const chosen = modelOfTask(model, choices, offers)
      const password = await renewPassword(launch.workspace)
      const environment = ({ gateway }: TaskNetwork, out: WayOut | undefined): Record<string, string> =>
        serverEnvironment(launch.workspace, reachable(chosen, { gateway, hostOrigin, guarded, out }), password, { temporary: '/tmp', permissions: launch.permissions })
      const id = await containers.start({
        task: launch.task, claim: launch.claim, deadlineAt: launch.deadlineAt, image: choices.image ?? image, command: commandOf(launch), environment, workspace: launch.workspace, run: launch, limits: { ...limits, ...limitsOfTask(choices) },
      })
      return { ...reserved, container_id: id }
    },
    address: async (data, workspace) => {
      const state = await containers.state(nameOf(data))
      if (state?.isRunning !== true) return undefined // one that was never started has no session that could be gone on with
      if (state.address === undefined) throw new TaskFailure('backend_unavailable', 'the container has no address on the task network')
      await containers.network() // an adopter relays for the containers that it takes over, and looks after their way out
      return { url: `http://${state.address}:${PORT}`, username: 'opencode', password: await passwordOf(workspace) }
    },
    admitted: (data) => executionOf(nameOf(data)),
    autopsy: (data) => containers.autopsy(nameOf(data)),
    remove: (data) => containers.remove(nameOf(data)),
    list: async () => (await containers.list()).map(({ taskId, createdAt, name }) => ({ taskId, createdAt, data: { container: name } })),
    close: () => containers.close(),
  }
}

/** `timeout` is the container's first process: when it ends, everything in the container ends (G9). */
function commandOf({ deadlineAt }: Launch): string[] {
  return ['timeout', '-s', 'KILL', String(watchdogSeconds(deadlineAt, Date.now())), 'opencode', 'serve', '--hostname', '0.0.0.0', '--port', String(PORT)]
}

function nameOf(data: HandleData): string {
  return Data.parse(data).container
}

/** What leads an agent in a container to its model: the egress proxy, or the gateway in the place of this host's loopback. */
interface Reach { gateway: string; hostOrigin: string | undefined; guarded: GuardedModel | undefined; out: WayOut | undefined }

/** The model access as an agent in a container can use it. */
export function reachable(model: ModelAccess, { gateway, hostOrigin, guarded, out }: Reach): ModelAccess {
  if (guarded !== undefined && out !== undefined) return guarded.through(out, model)
  return hostOrigin === undefined ? model : withOrigin(model, hostOrigin, `http://${gateway}:${new URL(hostOrigin).port}`)
}

/** The model access with another address of a service that it names. */
function withOrigin(model: ModelAccess, from: string, to: string): ModelAccess {
  const config = z.record(z.string(), z.unknown()).parse(JSON.parse(JSON.stringify(model.config).replaceAll(from, to)))
  return { ...model, config, env: Object.fromEntries(Object.entries(model.env).map(([name, value]) => [name, value.replaceAll(from, to)])) }
}

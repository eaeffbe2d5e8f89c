import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { waitFor } from '@longshore/testkit'
import { z } from 'zod'

const WAIT_MS = 180_000

/** Engines say it in both ways that there is nothing. */
const strings = z.array(z.string()).nullable().transform((words) => words ?? [])

/** A container, as the engine describes it. */
export const Container = z.object({
  Id: z.string(),
  Name: z.string(),
  RestartCount: z.number(),
  Config: z.object({
    User: z.string(), Image: z.string(), Cmd: strings, Env: z.array(z.string()).transform(parseEnvironment), Labels: z.record(z.string(), z.string()),
    Healthcheck: z.object({ Interval: z.number() }).optional(),
  }),
  State: z.object({
    Status: z.string(), ExitCode: z.number(), StartedAt: z.string(), FinishedAt: z.string(),
    Health: z.object({ Status: z.string(), Log: z.array(z.object({ ExitCode: z.number(), Output: z.string() })).nullable() }).optional(),
  }),
  HostConfig: z.object({
    ReadonlyRootfs: z.boolean(), CapAdd: strings, CapDrop: strings, SecurityOpt: strings, GroupAdd: strings,
    Privileged: z.boolean(), Memory: z.number(), MemorySwap: z.number(), NanoCpus: z.number(), PidsLimit: z.number().nullable(), NetworkMode: z.string(),
    PortBindings: z.record(z.string(), z.array(z.object({ HostIp: z.string(), HostPort: z.string() })).nullable()).nullable().transform((ports) => ports ?? {}),
  }),
  Mounts: z.array(z.object({ Type: z.string(), Name: z.string().optional(), Source: z.string().optional(), Destination: z.string() })),
})
export type Container = z.infer<typeof Container>

/** A container of the project. */
export interface ProjectContainer { service: string; raw: Container }

/** What an engine holds of a project. */
export interface ProjectContainers {
  containers(): Promise<ProjectContainer[]>
  /** Containers that docker mode made for a task, running or not. */
  taskContainers(taskId: string): Promise<Container[]>
  /** Copies a task's workspace out of this service's storage. @returns the folder in which the copy lies as in a storage's */
  copyWorkspace(service: string, taskId: string): Promise<string>
  /** @throws Error that says which service is how, and what its health check saw */
  untilHealthy(): Promise<void>
  /** Containers, networks and volumes of the project, and what docker mode made for its tasks. */
  left(): Promise<string[]>
  /** Removes containers and networks that docker mode made for tasks: what a failed test leaves. */
  sweep(): Promise<void>
}

export function createProjectContainers(docker: (...words: string[]) => Promise<string>, name: string, copies: string): ProjectContainers {
  const idsOf = async (...words: string[]): Promise<string[]> => (await docker(...words, '--quiet')).split('\n').filter((id) => id !== '')
  const inspect = async (label: string): Promise<Container[]> => {
    const ids = await idsOf('ps', '--all', '--filter', `label=${label}`)
    return ids.length === 0 ? [] : z.array(Container).parse(JSON.parse(await docker('inspect', ...ids)))
  }
  const containers = async (): Promise<ProjectContainer[]> =>
    (await inspect(`com.docker.compose.project=${name}`)).map((raw) => ({ service: raw.Config.Labels['com.docker.compose.service'] ?? raw.Name, raw }))
  return {
    containers,
    taskContainers: (taskId) => inspect(`longshore.task=${taskId}`),
    async copyWorkspace(service, taskId) {
      const holder = (await containers()).find((one) => one.service === service && one.raw.State.Status === 'running')
      if (holder === undefined) throw new Error(`no container of ${service} runs`)
      await mkdir(join(copies, taskId), { recursive: true })
      await docker('cp', `${holder.raw.Id}:${holder.raw.Config.Env['WORKSPACE_DIR']}/${taskId}/repo`, join(copies, taskId))
      return copies
    },
    async untilHealthy() {
      await waitFor(async () => {
        const unwell = (await containers()).filter(({ raw: { State } }) => (State.Status === 'exited' ? State.ExitCode !== 0 : State.Health?.Status !== 'healthy'))
        if (unwell.length > 0) throw new Error(unwell.map(({ service, raw: { State } }) => `${service} is ${State.Status} ${State.Health?.Status ?? ''} ${State.Health?.Log?.at(-1)?.Output ?? ''}`).join('; '))
        return true
      }, { what: 'every service to be healthy', timeoutMs: WAIT_MS, everyMs: 500 })
    },
    async left() {
      const labels = [`com.docker.compose.project=${name}`, `longshore.deployment=${name}`]
      const found = await Promise.all(labels.flatMap((label) => [['ps', '--all'], ['network', 'ls'], ['volume', 'ls']].map(async (list) => (await idsOf(...list, '--filter', `label=${label}`)).map((id) => `${list[0]} ${id}`))))
      return found.flat()
    },
    async sweep() {
      for (const [list, remove] of [[['ps', '--all'], ['rm', '--force']], [['network', 'ls'], ['network', 'rm']]] as const) {
        const ids = await idsOf(...list, '--filter', `label=longshore.deployment=${name}`)
        if (ids.length > 0) await docker(...remove, ...ids)
      }
    },
  }
}

function parseEnvironment(pairs: string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at), pair.slice(at + 1)]
  }))
}

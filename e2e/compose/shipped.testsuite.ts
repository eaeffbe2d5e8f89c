import { SCRIPTED_MODEL, waitFor } from '@longshore/testkit'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Agent, createAgent } from '../src/harness/agent.ts'
import type { ComposeProject } from './compose-project.ts'
import type { Container, ProjectContainer } from './project-containers.ts'

/** Who waits for whom: until it is healthy, or until it has ended well. */
const WAITS_FOR_HEALTH = [['keys', 'redis'], ['gateway', 'redis'], ['worker', 'redis'], ['worker', 'opencode'], ['notifier', 'redis'], ['console', 'redis'], ['docker-worker', 'redis']] as const
const WAITS_FOR_THE_END = [['gateway', 'keys'], ['console', 'keys'], ['docker-worker', 'workspace-folder']] as const
const Workers = z.looseObject({ workers: z.array(z.looseObject({ name: z.string(), modes: z.array(z.looseObject({ mode: z.string(), available: z.boolean(), reason: z.string().optional() })) })) })

/** What the predecessor's compose file and images lacked. The project was just brought up, and nothing of it started twice. */
export function describeShipped(projectOf: () => ComposeProject): void {
  describe('as shipped', () => {
    let project: ComposeProject
    let operator: Agent
    beforeAll(() => {
      project = projectOf()
      operator = createAgent(() => project.gatewayUrl, project.operatorKey)
    })

    const one = async (service: string): Promise<Container> => {
      const found = (await project.containers()).find((container) => container.service === service)
      if (found === undefined) throw new Error(`the project has no ${service}`)
      return found.raw
    }

    test("L-35: the worker's image can run docker mode: as nobody, in the group of the engine's socket and no other, with its mode on", async () => {
      const { Config, HostConfig } = await one('docker-worker')
      expect({ user: Config.User, groups: HostConfig.GroupAdd, isPrivileged: HostConfig.Privileged, added: HostConfig.CapAdd }).toEqual({ user: '1000:1000', groups: [project.socketGroup], isPrivileged: false, added: [] })
      const { modes } = await waitFor(async () => {
        const { workers } = Workers.parse(await (await operator.fetch('/api/workers')).json())
        return workers.find((worker) => worker.name === 'docker-worker' && worker.modes.every(({ available }) => available))
      }, { what: 'the worker of docker mode to be known, with its mode on', timeoutMs: 60_000 })
      expect(modes).toEqual([expect.objectContaining({ mode: 'docker', available: true })])
    })

    test("L-36: a task's container has the model, and a token in place of the provider's key, runs as nobody, within limits, alone on its network, and sees its own folders only", async () => {
      const agent = createAgent(() => project.gatewayUrl, project.agentKey)
      const { name, value } = project.providerKey
      const { task_id } = await agent.submit(`[[bash printenv ${name}; sleep 5]] [[say done]]`, { mode: 'docker' })
      const container = await waitFor(async () => (await project.taskContainers(task_id)).find(({ State }) => State.Status === 'running'), { what: "the task's container", timeoutMs: 60_000 })
      const { Config, HostConfig, Mounts } = container
      expect(Config.Env[name]).toMatch(/^lse-task-/)
      expect(JSON.stringify(container)).not.toContain(value)
      expect(JSON.parse(Config.Env['OPENCODE_CONFIG_CONTENT'] ?? '')).toMatchObject({ model: expect.stringContaining(SCRIPTED_MODEL) })
      const { cpus, memoryBytes, pids } = project.runnerLimits
      expect(Config.User).toBe('1000:1000')
      expect(HostConfig).toMatchObject({
        NanoCpus: cpus * 1e9, Memory: memoryBytes, MemorySwap: memoryBytes, PidsLimit: pids,
        CapDrop: ['ALL'], CapAdd: [], SecurityOpt: ['no-new-privileges'], Privileged: false, ReadonlyRootfs: true, NetworkMode: `longshore-${project.name}.closed`, PortBindings: {},
      })
      expect(Mounts.map(({ Type, Source, Destination }) => ({ Type, isAtItsPath: Source === Destination, folder: Destination.split('/').slice(-2).join('/') })).sort((a, b) => a.folder.localeCompare(b.folder)))
        .toEqual(['repo', 'state'].map((folder) => ({ Type: 'bind', isAtItsPath: true, folder: `${task_id}/${folder}` })))

      expect(await agent.untilCompleted(task_id)).toMatchObject({ attempt: 1 })
      const log = JSON.stringify(await agent.events(task_id))
      expect(log).toContain('[redacted]')
      expect(log).not.toContain(value)
    }, 150_000)

    test('L-37: the gateway answers on the port that is published, and console, Redis and gateway publish to this machine alone', async () => {
      const [gateway, ...others] = await Promise.all(['gateway', 'console', 'redis'].map(one))
      expect(gateway?.HostConfig.PortBindings).toEqual({ '3456/tcp': [{ HostIp: '127.0.0.1', HostPort: new URL(project.gatewayUrl).port }] })
      expect((await fetch(`${project.gatewayUrl}/ready`)).status).toBe(200)
      expect((await fetch(`${project.gatewayUrl}/mcp`, { method: 'POST' })).status).toBe(401)
      for (const { HostConfig } of others) expect(Object.values(HostConfig.PortBindings).flat().map((binding) => binding?.HostIp)).toEqual(['127.0.0.1'])
    })

    test('L-37: each service that stays has a health check, and what it asks is there', async () => {
      // A check that took too long on a busy machine is followed by one that does not.
      await project.untilHealthy()
      const staying = (await project.containers()).filter(({ raw }) => raw.State.Status === 'running')
      const said = (container: ProjectContainer): string => container.raw.State.Health?.Log?.findLast(({ ExitCode }) => ExitCode === 0)?.Output ?? ''
      for (const { service, raw: { State } } of staying) expect({ service, health: State.Health?.Status, code: State.Health?.Log?.findLast(({ ExitCode }) => ExitCode === 0)?.ExitCode }).toEqual({ service, health: 'healthy', code: 0 })
      const ours = staying.filter(({ service }) => service !== 'redis' && service !== 'provider')
      for (const container of ours) expect(`${container.service}: ${said(container)}`).toContain(': 200')
      // A path that it does not know may be answered with 200 and a page, too.
      expect(ours.filter(({ service }) => service === 'opencode').map(said)).toEqual([expect.stringContaining('"healthy":true')])
      await expect(project.compose('exec', '-T', 'gateway', 'is-ready', '3456', '/no-such-path')).rejects.toThrow('404')
      await expect(project.compose('exec', '-T', 'gateway', 'is-ready', '3999', '/ready')).rejects.toThrow('refused')
    })

    test('L-37: a service starts when what it depends on is healthy, or has ended well', async () => {
      const by = new Map((await project.containers()).map(({ service, raw }) => [service, raw]))
      const time = (service: string, what: 'StartedAt' | 'FinishedAt'): number => Date.parse(by.get(service)?.State[what] ?? '')
      for (const [service, needed] of WAITS_FOR_HEALTH) {
        // Nothing is healthy before its first check.
        const firstCheck = time(needed, 'StartedAt') + (by.get(needed)?.Config.Healthcheck?.Interval ?? NaN) / 1e6
        expect(time(service, 'StartedAt'), `${service} after ${needed}`).toBeGreaterThanOrEqual(firstCheck)
      }
      for (const [service, needed] of WAITS_FOR_THE_END) {
        expect(by.get(needed)?.State).toMatchObject({ Status: 'exited', ExitCode: 0 })
        expect(time(service, 'StartedAt'), `${service} after ${needed}`).toBeGreaterThanOrEqual(time(needed, 'FinishedAt'))
      }
    })
  })
}

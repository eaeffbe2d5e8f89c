import { type Mode, MODES } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Agent, createAgent, expectWholeLog, type HistoryEvent } from '../src/harness/agent.ts'
import { expectStepsOnce, gatedSteps } from '../src/harness/counted-work.ts'
import { measured } from '../src/harness/soak.ts'
import type { ComposeProject } from './compose-project.ts'
import type { Container, ProjectContainer } from './project-containers.ts'

const STEPS = 8
const WORKERS = 3
/** G7, with default settings. */
const PROMISED_MS = 10_000
/** Who holds the storage of a mode. */
const WORKER_OF: Readonly<Record<Mode, string>> = { docker: 'docker-worker', opencode: 'worker' }
const TAKINGS: ReadonlySet<string> = new Set(['task.started', 'task.adopted', 'task.resumed', 'task.retrying'])

/** A task under way. */
interface Begun { mode: Mode; id: string }

/** What operators do to a stack while agents work, and what the tasks owe them then. The project runs, and runs again afterwards. */
export function describeInterruptions(projectOf: () => ComposeProject): void {
  describe('in the middle of tasks', { timeout: 300_000 }, () => {
    let project: ComposeProject
    let agent: Agent
    beforeAll(async () => {
      project = projectOf()
      agent = createAgent(() => project.gatewayUrl, project.agentKey)
      await project.up(WORKERS)
    }, 240_000)

    const eventsOf = async (id: string, type: HistoryEvent['type']): Promise<HistoryEvent[]> => (await agent.events(id)).filter((event) => event.type === type)
    const until = async (id: string, type: string, timeoutMs = 60_000): Promise<HistoryEvent> =>
      waitFor(async () => (await eventsOf(id, type))[0], { what: `${type} of ${id}`, timeoutMs, everyMs: 100 })
    const serviceContainers = async (...services: string[]): Promise<ProjectContainer[]> => (await project.containers()).filter(({ service }) => services.includes(service))
    /** All but the first process end, which is none of ours: the engine takes that for a crash, and not for somebody's wish. */
    const crash = async (service: string): Promise<void> => {
      await project.compose('exec', '-T', service, 'bash', '-c', 'kill -KILL -1')
      await waitFor(async () => (await serviceContainers(service)).every(({ raw }) => raw.RestartCount === 1), { what: `${service} to be started again` })
    }
    /** A task in the middle of its work, where it stays until somebody opens its gate. */
    const begin = async (mode: Mode): Promise<Begun> => {
      const { task_id: id } = await agent.submit(gatedSteps(STEPS), { mode, timeout_ms: 250_000 })
      await waitFor(async () => (await eventsOf(id, 'task.tool')).length >= 2, { what: `two steps of ${id}`, timeoutMs: 120_000, everyMs: 100 })
      return { mode, id }
    }
    const containersOf = async (tasks: readonly Begun[]): Promise<Container[]> => (await Promise.all(tasks.map(({ id }) => project.taskContainers(id)))).flat()
    /** Lets it go on; its work done once, in its first attempt, under one whole log, and nothing left of it. @returns how it was taken */
    const takingsOfDone = async ({ mode, id }: Begun): Promise<string[]> => {
      await project.compose('exec', '-T', WORKER_OF[mode], 'bash', '-c', `touch "$WORKSPACE_DIR/${id}/repo/open"`)
      expect(await agent.untilCompleted(id)).toMatchObject({ mode, attempt: 1 })
      const events = await agent.events(id)
      expectWholeLog(events)
      await expectStepsOnce({ workspaces: await project.copyWorkspace(WORKER_OF[mode], id) }, id, STEPS, events)
      await waitFor(async () => (await project.taskContainers(id)).length === 0, { what: `no container to be left of ${id}`, timeoutMs: 90_000, everyMs: 200 })
      return events.map(({ type }) => type).filter((type) => TAKINGS.has(type))
    }

    test('G7: one worker of three is killed, and another adopts its task within 10 s', async () => {
      const task = await begin('opencode')
      const { worker = '' } = await agent.status(task.id)
      const owner = (await serviceContainers('worker')).find(({ raw }) => worker.startsWith(raw.Id.slice(0, 12)))
      const killedAt = Date.now()
      await project.docker('kill', owner?.raw.Id ?? worker)
      const adopted = await until(task.id, 'task.adopted')
      measured('compose: adopted after SIGKILL of one worker (ms)', Date.parse(adopted.timestamp) - killedAt)
      expect(Date.parse(adopted.timestamp) - killedAt).toBeLessThan(PROMISED_MS)
      expect(adopted.data['worker']).not.toBe(worker)
      expect(await takingsOfDone(task)).toEqual(['task.started', 'task.adopted'])
    })

    test('G7: the one worker of docker mode crashes; the engine starts it again, and it adopts what it left', async () => {
      const task = await begin('docker')
      const crashedAt = Date.now()
      await crash(WORKER_OF.docker)
      const adopted = await until(task.id, 'task.adopted')
      measured('compose: adopted after a crash of the only worker (ms)', Date.parse(adopted.timestamp) - crashedAt)
      expect(await takingsOfDone(task)).toEqual(['task.started', 'task.adopted'])
    })

    test('G7: the OpenCode server crashes; the engine starts it again, and the session goes on', async () => {
      const task = await begin('opencode')
      await crash('opencode')
      expect(await takingsOfDone(task)).toEqual(['task.started', 'task.resumed'])
    })

    test('G7: `docker compose kill` of all workers of both modes costs no work: the next ones adopt what runs', async () => {
      await project.up(WORKERS)
      const tasks = await Promise.all(MODES.map(begin))
      await project.compose('kill', ...Object.values(WORKER_OF))
      for (const { raw } of await serviceContainers(...Object.values(WORKER_OF))) expect(raw.State).toMatchObject({ Status: 'exited', ExitCode: 137 })
      expect(await containersOf(tasks)).toMatchObject([{ State: { Status: 'running' } }])
      await project.up(WORKERS)
      for (const task of tasks) {
        await until(task.id, 'task.adopted')
        expect(await takingsOfDone(task)).toEqual(['task.started', 'task.adopted'])
      }
    })

    test('G12: `docker compose stop` checkpoints tasks of both modes, and the next `up` goes on with them in the same attempt', async () => {
      const tasks = await Promise.all(MODES.map(begin))
      await project.compose('stop')
      for (const { service, raw } of await serviceContainers(...Object.values(WORKER_OF), 'gateway', 'notifier', 'console', 'redis')) {
        expect({ service, code: raw.State.ExitCode, status: raw.State.Status }).toEqual({ service, code: 0, status: 'exited' })
      }
      expect(await containersOf(tasks)).toEqual([])
      await project.up(WORKERS)
      for (const task of tasks) {
        await until(task.id, 'task.resumed')
        expect(await eventsOf(task.id, 'task.queued')).toMatchObject([{ data: { reason: 'submitted' } }, { data: { reason: 'handover' } }])
        expect(await takingsOfDone(task)).toEqual(['task.started', 'task.resumed'])
      }
    })
  })
}

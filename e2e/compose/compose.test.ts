import { MODES } from '@longshore/contracts'
import { describeNeeding, waitFor } from '@longshore/testkit'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createAgent, expectWholeLog } from '../src/harness/agent.ts'
import { CLIENTS, createMcpAgent } from '../src/harness/mcp-agent.ts'
import { type ComposeProject, createComposeProject } from './compose-project.ts'
import { describeInterruptions } from './interruptions.testsuite.ts'
import { describeShipped } from './shipped.testsuite.ts'

const WORK = 'Count. [[write notes.txt|hello]] [[bash wc -c < notes.txt > count.txt; id -u]] [[say All is counted.]]'
const MEGABYTE = 1_000_000

describeNeeding(['docker', 'compose'], 'compose.yaml on a real engine', () => {
  let project: ComposeProject
  beforeAll(async () => {
    project = await createComposeProject()
    await project.compose('up', '--detach')
    await project.untilHealthy().catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await project.logs()}`, { cause: error })
    })
  }, 480_000)
  afterAll(async () => {
    await project.remove()
    await project.sweep()
  }, 240_000)
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(`--- logs of the project after "${task.name}"\n${await project.logs()}\n---`)
  }, 120_000)

  test('without its keys nothing starts, and the message names what is missing', async () => {
    for (const name of ['REDIS_PASSWORD', 'LONGSHORE_API_KEY', 'LONGSHORE_AGENT_KEY', 'OPENCODE_SERVER_PASSWORD']) {
      await expect(project.configWithout(name)).rejects.toThrow(`set ${name}`)
    }
  })

  test('every service runs as nobody, on a read-only root, without capabilities, within limits', async () => {
    const own = (await project.containers()).filter(({ service }) => service !== 'provider' && service !== 'workspace-folder')
    expect(own.map(({ service }) => service).sort()).toEqual(['console', 'docker-worker', 'gateway', 'keys', 'notifier', 'opencode', 'redis', 'worker'])
    for (const { service, raw } of own) {
      expect({ service, user: raw.Config.User }).toEqual({ service, user: service === 'redis' ? '999:999' : '1000:1000' })
      expect({ service, isReadOnly: raw.HostConfig.ReadonlyRootfs, capabilities: raw.HostConfig.CapDrop, isLimited: raw.HostConfig.Memory > 0 })
        .toEqual({ service, isReadOnly: true, capabilities: ['ALL'], isLimited: true })
    }
  })

  test('only the worker of docker mode holds the socket of the engine', async () => {
    const holders = (await project.containers()).filter(({ raw }) => raw.Mounts.some(({ Destination }) => Destination.endsWith('docker.sock')))
    expect(holders.map(({ service }) => service)).toEqual(['docker-worker'])
  })

  test('no secret stands in a process list or a command', async () => {
    const containers = await project.containers()
    const lists = await Promise.all(containers.filter(({ raw }) => raw.State.Status === 'running').map(({ raw }) => project.docker('top', raw.Id, '-eo', 'pid,args')))
    const text = [...lists, ...containers.map(({ raw }) => raw.Config.Cmd.join(' '))].join('\n')
    expect(text).toContain('redis-server')
    expect(project.secrets.filter((secret) => text.includes(secret))).toEqual([])
  })

  test('the OpenCode server reaches no Redis, and Redis no outsider', async () => {
    const reach = (service: string): Promise<string> => project.compose('exec', '-T', service, 'bash', '-c', 'timeout 10 bash -c "exec 3<> /dev/tcp/redis/6379" 2> /dev/null && echo reached || echo refused')
    expect((await reach('worker')).trim()).toBe('reached')
    expect((await reach('opencode')).trim()).toBe('refused')
    expect(await project.compose('exec', '-T', 'redis', 'redis-cli', 'get', 'x')).toContain('NOAUTH')
  })

  test('no container leaves a nameless volume behind', async () => {
    const volumes = (await project.containers()).flatMap(({ raw }) => raw.Mounts).filter(({ Type }) => Type === 'volume')
    expect([...new Set(volumes.map(({ Name = '' }) => Name.replace(`${project.name}_`, '')))].sort()).toEqual(['blobs', 'opencode-data', 'redis-data', 'workspaces'])
    for (const image of await project.images()) expect((await project.docker('image', 'inspect', '--format', '{{json .Config.Volumes}}', image)).trim()).toBe('null')
  })

  test('images are small: Node and what the apps need', async () => {
    const sizes = await project.imageSizes()
    expect(Object.keys(sizes).sort()).toEqual(['cli', 'console', 'docker-worker', 'gateway', 'notifier', 'opencode', 'worker'])
    // 63 MB and, with the program of OpenCode, 185 MB; where git is not in the Node image, it comes to worker and opencode.
    for (const name of ['gateway', 'notifier', 'console', 'cli']) expect(sizes[name]).toBeLessThan(90 * MEGABYTE)
    for (const name of ['worker', 'opencode']) expect(sizes[name]).toBeLessThan(350 * MEGABYTE)
  })

  describeShipped(() => project)

  test.concurrent.each(MODES)('an MCP client runs a task in %s mode and reads its result', async (mode) => {
    const agent = createMcpAgent(CLIENTS[0], () => project.gatewayUrl, project.agentKey)
    const { task_id } = await agent.submit(WORK, { mode, timeout_ms: 150_000 })
    const task = await agent.untilCompleted(task_id, 160_000)
    expect(task).toMatchObject({ mode, attempt: 1, files_changed: 2 })
    expect(task.output).toContain('All is counted.')
    expectWholeLog(await agent.events(task_id))
    const told = await waitFor(async () => (await project.compose('logs', '--no-color', 'notifier')).split('\n').find((line) => line.includes(task_id) && line.includes('"completion"')), { what: 'the completion notice' })
    expect(told).toContain('completed')
  }, 200_000)

  test('three workers share the tasks of OpenCode mode', async () => {
    await project.up(3)
    expect((await project.containers()).filter(({ service }) => service === 'worker')).toHaveLength(3)
    const agent = createAgent(() => project.gatewayUrl, project.agentKey)
    const submitted = await Promise.all([1, 2, 3].map((count) => agent.submit(`${count} [[sleep 8000]] [[say done]]`, { mode: 'opencode' })))
    const ended = await Promise.all(submitted.map(({ task_id }) => agent.until(task_id, ['completed'], 120_000)))
    expect(new Set(ended.map(({ worker }) => worker)).size).toBe(3) // each has one slot
  }, 200_000)

  describeInterruptions(() => project)

  test('what was accepted survives the death of Redis', async () => {
    const agent = createAgent(() => project.gatewayUrl, project.agentKey)
    const { task_id } = await agent.submit('[[say still here]]', { mode: 'opencode' })
    await project.compose('kill', '-s', 'SIGKILL', 'redis')
    await project.compose('up', '--detach', '--no-build', '--scale', 'worker=3')
    await agent.until(task_id, ['completed'], 120_000)
    expect(await agent.status(task_id)).toMatchObject({ output: 'still here' })
  }, 180_000)

  test('the operator has the commands in a container', async () => {
    const list = await project.compose('run', '--rm', '-T', 'cli', 'keys', 'list')
    expect(list).toContain('(operator)')
    expect(project.secrets.filter((secret) => list.includes(secret))).toEqual([])
  }, 120_000)

  test('down with its volumes leaves nothing', async () => {
    expect((await project.left()).length).toBeGreaterThan(10)
    await project.remove()
    expect(await project.left()).toEqual([])
  }, 240_000)
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backend, type ExecutionOutcome, type Handle, SILENT, type TaskId } from '@longshore/contracts'
import { describeNeeding, engineHost, runnerImage, type ScriptedProvider, waitFor } from '@longshore/testkit'
import type Docker from 'dockerode'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createDockerMode, type DockerModeOptions } from './docker-mode.ts'
import { record, type Recorded, successorOf, textOf } from './fixtures/record.ts'
import { scriptedModel } from './fixtures/scripted-model.ts'
import { containerName, LABEL } from './places/container-spec.ts'
import { connectEngine } from './places/engine.ts'
import { openStorage } from './workspace/storage.ts'

const DEPLOYMENT = 'suite-docker-faults'
const LOST = 'another worker owns it'

describeNeeding(['docker', 'opencode'], 'the sandbox of a container', () => {
  let root: string
  let provider: ScriptedProvider
  let options: DockerModeOptions
  let backend: Backend
  const started: Recorded[] = []

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'longshore-docker-faults-'))
    const [engine, image, storage, scripted] = await Promise.all([engineHost(), runnerImage(), openStorage(root), scriptedModel()])
    provider = scripted.provider
    const command = { driver: 'command', command: ['sh', '-s'], env: { SERVICE_KEY: 'key-of-the-service' } } as const
    options = {
      deployment: DEPLOYMENT, engine, image, storage, model: scripted.model, modelOnHost: scripted.origin, log: SILENT,
      profiles: { shell: { image, ...command }, missing: { image: 'longshore/no-such-image:none', ...command } },
    }
    backend = createDockerMode(options)
  })
  afterEach(async () => {
    for (const { run, handles } of started.splice(0)) for (const handle of handles.slice(-1)) await backend.dispose(handle, run)
  })
  afterAll(async () => {
    await backend.close()
    await provider.stop()
    await rm(root, { recursive: true, force: true })
  })

  const begin = (prompt: string, profile = 'shell'): Recorded => {
    const one = record(prompt, { mode: 'docker', profile })
    started.push(one)
    return one
  }
  const run = async (one: Recorded): Promise<ExecutionOutcome> => (await backend.start(one.task, one.run)).outcome
  const statusOf = async ({ task }: Recorded): Promise<string> => (await connectEngine(options.engine).getContainer(containerName(DEPLOYMENT, task.id, 1)).inspect()).State.Status
  const containersOf = async ({ task }: Recorded): Promise<unknown[]> => connectEngine(options.engine).listContainers({ all: true, filters: { label: [`${LABEL.task}=${task.id}`] } })
  const removeNetwork = (): Promise<unknown> => connectEngine(options.engine).getNetwork(`longshore-${DEPLOYMENT}`).remove()
  /** A start whose worker is suspended behind the making of its container, and wakes up without its claim. */
  const suspended = async (one: Recorded): Promise<{ next: Recorded; handle: Handle; wakeUp(): Promise<void> }> => {
    const claim = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const confirmClaim = (): Promise<void> => {
      asked.resolve()
      return claim.promise
    }
    const start = backend.start(one.task, { ...one.run, confirmClaim })
    await Promise.race([asked.promise, start])
    expect(await statusOf(one)).toBe('created')
    const next = successorOf(one)
    started.push(next)
    const wakeUp = async (): Promise<void> => {
      claim.reject(new Error(LOST))
      await expect(start).rejects.toThrow(LOST)
    }
    return { next, handle: next.task.handle as Handle, wakeUp }
  }
  const addressOf = async (taskId: TaskId): Promise<string> => {
    const { NetworkSettings } = await connectEngine(options.engine).getContainer(containerName(DEPLOYMENT, taskId, 1)).inspect()
    return Object.values(NetworkSettings.Networks)[0]?.IPAddress ?? ''
  }

  test('gives no root, no capability, no way to gain any, no writable system and no engine', async () => {
    const one = begin('id -u; grep -E "CapEff|NoNewPrivs" /proc/self/status; touch /etc/x || echo read-only; ls /var/run/docker.sock || echo no socket; ls ../control || echo no control')
    expect(await run(one)).toMatchObject({ kind: 'completed' })
    const said = textOf(one.events)
    expect(said).toMatch(/^1000$/m)
    expect(said).toMatch(/CapEff:\s+0{16}/)
    expect(said).toMatch(/NoNewPrivs:\s+1/)
    expect(said).toContain('read-only')
    expect(said).toContain('no socket')
    expect(said).toContain('no control')
  })

  test('keeps tasks from reaching each other over the network', async () => {
    const one = begin('sleep 3600')
    await backend.start(one.task, one.run)
    const victim = begin('[[hang]]', 'opencode')
    await backend.start(victim.task, victim.run)
    const address = await addressOf(victim.task.id)
    await expect(fetch(`http://${address}:4096/global/health`).then(({ status }) => status)).resolves.toBe(401) // we reach it, and it wants its password
    const attacker = begin(`timeout 3 bash -c 'exec 3<>/dev/tcp/${address}/4096' && echo reached || echo cut off`)
    expect(await run(attacker)).toMatchObject({ kind: 'completed' })
    expect(textOf(attacker.events)).toContain('cut off')
  })

  test('G9: the last cleaning up of a task takes what its earlier claims left behind with it, and nobody else\'s', async () => {
    const first = begin('sleep 3600')
    await backend.start(first.task, first.run)
    const stranger = begin('sleep 3600')
    await backend.start(stranger.task, stranger.run)
    const second = { ...first.run, claim: 2 }
    const { handle } = await backend.start(first.task, second)
    await backend.dispose(handle, second)
    const left = await connectEngine(options.engine).listContainers({ all: true, filters: { label: [`longshore.deployment=${DEPLOYMENT}`] } })
    expect(left.map(({ Names }) => Names[0])).toEqual([`/${containerName(DEPLOYMENT, stranger.task.id, 1)}`])
  })

  test('a container that was started after a handover is read from its first byte, whatever was read of the one before', async () => {
    const one = begin('echo from the second container')
    const position = JSON.stringify({ container: 'the-one-before', bytes: 1_000_000, tree: '' })
    await backend.start(one.task, one.run)
    const handle = one.handles.at(-1)
    const adopted = await backend.attach({ ...one.task, ...(handle === undefined ? {} : { handle }), position }, handle ?? one.handles[0]!, one.run)
    await adopted?.outcome
    expect(textOf(one.events)).toContain('from the second container')
  })

  test('nothing is lost of an output that comes faster than it is read (L-40)', async () => {
    const [lines, line] = [120_000, 'x'.repeat(999)]
    const one = begin(`yes '${line}' | head -n ${lines}`)
    expect(await run(one)).toMatchObject({ kind: 'completed' })
    expect(textOf(one.events) === `${line}\n`.repeat(lines)).toBe(true)
  })

  test('bounds the number of processes', async () => {
    const one = begin('for i in $(seq 600); do sleep 30 & done; echo all started')
    const outcome = await run(one)
    expect(textOf(one.events)).toMatch(/Resource temporarily unavailable|Cannot fork/i)
    expect(outcome.kind).toBe('failed')
  })

  test('ends what uses more than its memory, and says so', async () => {
    const small = createDockerMode({ ...options, limits: { memoryBytes: 64 * 1024 ** 2 } })
    const one = begin('head -c 300m /dev/zero | tail')
    const outcome = await (await small.start(one.task, one.run)).outcome
    expect(outcome).toMatchObject({ kind: 'failed' })
    expect(outcome.kind === 'failed' && outcome.failure.code).toBe('out_of_memory')
  })

  test('shows the prompt on stdin and in a file, in no argument, and hides the keys it knows', async () => {
    const one = begin('tr "\\0" " " < /proc/1/cmdline; cat "$LONGSHORE_PROMPT_FILE" | wc -c; echo "$SERVICE_KEY" # SECRET-WORD')
    expect(await run(one)).toMatchObject({ kind: 'completed' })
    const said = textOf(one.events)
    expect(said).not.toContain('SECRET-WORD')
    expect(said).toContain(String(one.task.prompt.length))
    expect(said).toContain('[redacted]')
    expect(said).not.toContain('key-of-the-service')
  })

  test('a container that somebody killed is lost, and that is said at once', async () => {
    const one = begin('[[say x]] [[hang]]', 'opencode')
    const execution = await backend.start(one.task, one.run)
    await waitFor(() => textOf(one.events) !== '', { what: 'the first words', timeoutMs: 60_000 })
    await connectEngine(options.engine).getContainer(containerName(DEPLOYMENT, one.task.id, 1)).kill()
    expect(await execution.outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost' } })
  })

  test('a command whose worker was lost before it could start its container is started by its adopter, whatever the worker does when it is back (G7)', async () => {
    const one = begin('echo begun; sleep 3600')
    const { next, handle, wakeUp } = await suspended(one)
    await expect(backend.attach(next.task, handle, { ...next.run, confirmClaim: () => Promise.reject(new Error(LOST)) })).rejects.toThrow(LOST)
    expect(await statusOf(one)).toBe('created')
    await removeNetwork() // as an idle worker does that leaves
    const adopted = await backend.attach(next.task, handle, next.run)
    await waitFor(() => textOf(next.events) === 'begun\n', { what: 'its first words' })
    await wakeUp()
    expect(await statusOf(one)).toBe('running')
    expect(adopted?.handle).toEqual(handle)
  })

  test('an OpenCode server that was never started holds no session: it is not there, and nothing of it is left', async () => {
    const one = begin('[[say x]]', 'opencode')
    const { next, handle, wakeUp } = await suspended(one)
    expect(await backend.attach(next.task, handle, next.run)).toBeUndefined()
    expect(await backend.resume(next.task, handle, next.run, 'go on')).toBeUndefined()
    expect(await containersOf(one)).toEqual([])
    await wakeUp()
    expect(await containersOf(one)).toEqual([])
  })

  test.each(['shell', 'opencode'])('a worker that has lost the claim when its container is made starts nothing and leaves nothing (G4, %s)', async (profile) => {
    const one = begin('echo [[hang]]; sleep 3600', profile)
    const { wakeUp } = await suspended(one)
    await wakeUp()
    expect(await containersOf(one)).toEqual([])
  })

  test.each([['shell', 'echo done'], ['opencode', '[[say done]]']])('a network that a leaving worker takes from under a start costs no attempt (%s)', async (profile, prompt) => {
    const one = begin(prompt, profile)
    let isTaken = false
    const confirmClaim = async (): Promise<void> => {
      if (!isTaken) await removeNetwork()
      isTaken = true
    }
    const { outcome } = await backend.start(one.task, { ...one.run, confirmClaim })
    expect(await outcome).toMatchObject({ kind: 'completed', result: { output: expect.stringContaining('done') as string } })
    expect(isTaken).toBe(true)
  })

  test.each([
    ['is stopped', 'sleep 3600', (container: Docker.Container) => container.stop()],
    ['is stopped and would call that its good end', 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done', (container: Docker.Container) => container.stop()],
    ['is killed', 'sleep 3600', (container: Docker.Container) => container.kill()],
    ['is told to end', 'sleep 3600', (container: Docker.Container) => container.kill({ signal: 'SIGTERM' })],
  ])('a command that somebody else ends is lost, not at its end: one that %s', async (_how, prompt, end) => {
    const one = begin(`echo up; ${prompt}`)
    const { outcome } = await backend.start(one.task, one.run)
    await waitFor(() => textOf(one.events).includes('up'), { what: 'its first words' })
    await end(connectEngine(options.engine).getContainer(containerName(DEPLOYMENT, one.task.id, 1)))
    expect(await outcome).toMatchObject({ kind: 'failed', failure: { code: 'backend_lost', message: expect.stringContaining('stopped from outside') as string } })
  })

  test("somebody else's container of the same name is not touched (G10)", async () => {
    const docker = connectEngine(options.engine)
    const one = begin('true')
    const name = containerName(DEPLOYMENT, one.task.id, 1)
    const theirs = await docker.createContainer({ name, Image: options.image, Cmd: ['sleep', '60'] })
    try {
      const handle = { v: 1, mode: 'docker', data: { profile: 'shell', container: name, task: one.task.id } } as const
      await backend.dispose(handle, one.run)
      expect((await theirs.inspect()).Id).toBe(theirs.id)
    } finally {
      await theirs.remove({ force: true })
    }
  })

  test('a missing image, a missing profile and a missing engine have their own words', async () => {
    await expect(run(begin('true', 'missing'))).rejects.toMatchObject({ code: 'image_missing' })
    await expect(run(record('true', { profile: 'unheard-of' }))).rejects.toThrow('profile: the task asks for "unheard-of"; this worker has opencode, shell, missing')
    const nowhere = createDockerMode({ ...options, engine: `unix://${join(root, 'no.sock')}` })
    expect(await nowhere.probe()).toMatchObject({ ok: false, reason: expect.stringContaining('does not answer') })
    const one = record('true', { profile: 'shell' })
    await expect(nowhere.start(one.task, one.run)).rejects.toMatchObject({ code: 'backend_unavailable' })
    const imageless = createDockerMode({ ...options, image: 'longshore/no-such-image:none' })
    expect(await imageless.probe()).toMatchObject({ ok: false, reason: expect.stringContaining('no-such-image') })
  })
})

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type AnyEvent, type EventType, type Mode, NewTask, SILENT, START, type TaskId, taskIdFrom } from '@longshore/contracts'
import { createLedger, type Ledger } from '@longshore/ledger'
import { createTicketProducer } from '@longshore/queue'
import { connectRedis } from '@longshore/runtime'
import { engineHost, runnerImage, type ScriptedProvider, startRedis, startScriptedProvider, waitFor } from '@longshore/testkit'

import { startWorkerProcess, type WorkerProcess } from './worker-process.ts'

export interface TaskOnDeck {
  id: TaskId
  /** The first event of this type. @throws when it does not come within two minutes, or the task ends otherwise */
  event(type: EventType): Promise<AnyEvent>
  cancel(): Promise<void>
}

/** Everything but the gateway, real: Redis with AOF `always`, a scripted model, worker processes, both modes. */
export interface Deck {
  redisUrl: string
  ledger: Ledger
  provider: ScriptedProvider
  providerToken: string
  home: string
  engine: { host: string; image: string }
  /** Accepts a task and queues its ticket. */
  submit(prompt: string, mode: Mode): Promise<TaskOnDeck>
  /** Stopped with the deck, if not before. */
  worker(env?: Readonly<Record<string, string>>): Promise<WorkerProcess>
}

/** Runs `measure` on a deck of its own, and leaves nothing of it. */
export async function onDeck<T>(measure: (deck: Deck) => Promise<T>): Promise<T> {
  const [home, providerToken] = [await mkdtemp(join(tmpdir(), 'longshore-bench-')), randomBytes(12).toString('hex')]
  const engine = { host: await engineHost(), image: await runnerImage() }
  const [server, provider] = await Promise.all([startRedis({ aof: 'always' }), startScriptedProvider({ token: providerToken, log: SILENT })])
  const redis = connectRedis(server.url, 'background', SILENT)
  const producer = createTicketProducer({ redisUrl: server.url, deployment: 'bench', log: SILENT })
  const ledger = createLedger({ redis, deployment: 'bench', log: SILENT })
  const workers: WorkerProcess[] = []
  const env = {
    HOME: home, LONGSHORE_HOME: home, WORKSPACE_DIR: join(home, 'workspaces'), NODE_COMPILE_CACHE: join(tmpdir(), 'longshore-bench-cache'), REDIS_URL: server.url,
    SCRIPTED_PROVIDER_URL: provider.url, SCRIPTED_PROVIDER_TOKEN: providerToken, DOCKER_HOST: engine.host, RUNNER_IMAGE: engine.image, DRAIN_GRACE_MS: '0',
  }
  try {
    await waitFor(() => producer.time(), { what: 'the producer to be connected' })
    return await measure({
      redisUrl: server.url, ledger, provider, providerToken, home, engine,
      submit: async (prompt, mode) => {
        const { task, ticket } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-bench', prompt, title: 'a task of the bench', mode, timeout_ms: 600_000 }))
        if (ticket === undefined) throw new Error('a fresh task got no ticket')
        await producer.add(ticket)
        await ledger.ticketAdded(ticket)
        return { id: task.id, event: (type) => eventOf(ledger, task.id, type), cancel: async () => void (await ledger.cancel(task.id, 'bench')) }
      },
      worker: async (more = {}) => {
        const worker = await startWorkerProcess({ ...env, ...more }, 'ready')
        workers.push(worker)
        return worker
      },
    })
  } finally {
    await Promise.allSettled(workers.map((worker) => worker.stop()))
    await Promise.allSettled([producer.close(), provider.stop()])
    redis.disconnect()
    await server.stop()
    await rm(home, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function eventOf(ledger: Ledger, id: TaskId, type: EventType): Promise<AnyEvent> {
  let found: AnyEvent | undefined
  await waitFor(async () => {
    const page = await ledger.read(id, START, 1_000)
    const events = page?.kind === 'events' ? page.events : []
    found = events.find((event) => event.type === type)
    if (found === undefined && events.some((event) => event.type === 'task.failed')) throw new Error(`${id} failed: ${JSON.stringify(events.at(-1)?.payload)}`)
    return found !== undefined
  }, { what: `${type} of ${id}`, timeoutMs: 120_000, everyMs: 20 })
  if (found === undefined) throw new Error(`no ${type} of ${id}`)
  return found
}

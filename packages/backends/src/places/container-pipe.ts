import type { Duplex } from 'node:stream'
import { type Log, TaskFailure } from '@longshore/contracts'
import type { AgentInput, AgentPipe } from '../drivers/acp/pipe.ts'
import { containerOutput } from './container-output.ts'
import type { Containers } from './containers.ts'
import { asEngineFailure } from './engine.ts'

/** SIGKILL and SIGTERM: `docker stop`, `docker kill`, an engine that stops, the container's own watchdog. */
const STOPPED = new Set([128 + 9, 128 + 15])

/** The stdio of a container, which the engine holds whoever comes and goes: it keeps stdin open, and what comes out in the container's log. */
export function containerPipe(containers: Containers, name: string, log: Log): AgentPipe {
  const container = containers.docker.getContainer(name)
  return {
    id: name,
    output: (signal) => containerOutput(containers, name, 0, { signal, log }),
    input: async () => inputOf(await container.attach({ stream: true, stdin: true, hijack: true }).catch((error: unknown) => Promise.reject(asEngineFailure(error, 'open the input of the container')))),
    ending: async () => {
      const state = await containers.state(name).catch(() => 'unknown' as const)
      if (state === 'unknown' || state?.isRunning === true || state?.isNew === true) return undefined
      return { failure: failureOf(state).toFailure(), isAgents: state !== undefined && !state.outOfMemory && !STOPPED.has(state.exitCode) }
    },
  }
}

function inputOf(stream: NodeJS.ReadWriteStream): AgentInput {
  const { promise: broken, resolve } = Promise.withResolvers<void>()
  for (const event of ['error', 'close', 'end']) stream.on(event, () => resolve())
  stream.resume() // its end is seen only while it is read
  return { write: (text) => void stream.write(text), broken, close: () => void (stream as Duplex).destroy() }
}

function failureOf(state: { exitCode: number; outOfMemory: boolean } | undefined): TaskFailure {
  if (state === undefined) return new TaskFailure('backend_lost', 'the container is gone')
  if (state.outOfMemory) return new TaskFailure('out_of_memory', 'the agent was killed by its memory limit (RUNNER_MEMORY_LIMIT, or memory_mb)')
  if (STOPPED.has(state.exitCode)) return new TaskFailure('backend_lost', `the agent was stopped from outside (exit code ${state.exitCode}): its container was stopped or killed, or the engine was`)
  return new TaskFailure('agent_error', `the agent ended with exit code ${state.exitCode} before it had answered`)
}

import { TaskFailure } from '@longshore/contracts'
import Docker from 'dockerode'
import { z } from 'zod'

const EngineError = z.object({ statusCode: z.number().optional(), code: z.string().optional(), message: z.string() })

/**
 * A client of the engine at `address`, in the form of DOCKER_HOST: `unix:///path` or `tcp://host:port`. Opens no connection.
 * @throws Error for any other form
 */
export function connectEngine(address: string): Docker {
  if (address.startsWith('unix://')) return new Docker({ socketPath: address.slice('unix://'.length) })
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url?.protocol !== 'tcp:' || url.port === '') throw new Error(`the engine's address is "${address}"; give unix:///path/to/docker.sock or tcp://host:port`)
  return new Docker({ protocol: 'http', host: url.hostname, port: Number(url.port) })
}

/** The HTTP status of the engine's refusal; undefined when it did not answer. */
export function engineStatus(error: unknown): number | undefined {
  return EngineError.safeParse(error).data?.statusCode
}

/** Whether the engine refused because it does not have an image. */
export function lacksImage(error: unknown): boolean {
  const { statusCode, message } = EngineError.safeParse(error).data ?? {}
  return statusCode === 404 && message !== undefined && /no such image|image not known/i.test(message)
}

/** Whether the engine refused because it does not have a network; also as the failure of a task. */
export function lacksNetwork(error: unknown): boolean {
  const { statusCode, message } = EngineError.safeParse(error instanceof TaskFailure ? error.cause : error).data ?? {}
  return statusCode === 404 && message !== undefined && /network \S+ not found/i.test(message)
}

/** Whatever the engine's client threw, as the failure of a task. */
export function asEngineFailure(error: unknown, what: string): TaskFailure {
  if (error instanceof TaskFailure) return error
  const { statusCode, code, message } = EngineError.safeParse(error).data ?? { message: String(error) }
  if (code === 'EACCES' || code === 'EPERM') return new TaskFailure('bad_credentials', `this user may not talk to the Docker Engine: ${message}`, { cause: error })
  if (statusCode === undefined) return new TaskFailure('backend_unavailable', `the Docker Engine does not answer (${what}): ${message}`, { cause: error })
  if (lacksImage(error)) return new TaskFailure('image_missing', `${message.trim()}; build or pull it on the engine`, { cause: error })
  // Refusals pass, too: a network that a leaving worker takes with it, a name that is being removed, a full disk. One that does not is the task's last failure.
  return new TaskFailure('backend_unavailable', `the Docker Engine could not ${what}: ${message.trim()}`, { cause: error })
}

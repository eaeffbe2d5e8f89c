import { type Log, TaskFailure } from '@longshore/contracts'
import type Docker from 'dockerode'
import { asEngineFailure, engineStatus } from './engine.ts'

/** The images that an engine lacks. One pull at a time for each, however many tasks wait for it. */
export interface Images {
  /** Gets the image, or goes on waiting for the pull that runs. @throws TaskFailure `image_missing` or `image_pull`; whatever `signal` aborts with, while the pull goes on for others */
  pull(image: string, signal: AbortSignal): Promise<void>
  /** Begins to pull an image that a probe did not find, and returns why it is not there yet. */
  pullSoon(image: string): string
}

/** A pull that says nothing for this long is given up, and begun again by whoever needs it next. */
const SILENT_MS = 120_000
/** Whose host is in the name: a dot, a port, or localhost. */
const NAMES_REGISTRY = /^(?:[^/]*[.:][^/]*|localhost)\//
/** The engine passes on the registry's words, hardly ever its status. */
const REFUSED = /denied|unauthorized|forbidden|no basic auth credentials|manifest unknown|not found|does not exist|invalid reference|no matching manifest/i

export function createImages(docker: Docker, log: Log, silentMs = SILENT_MS): Images {
  const running = new Map<string, Promise<void>>()
  const lastFailure = new Map<string, string>()

  function begin(image: string): Promise<void> {
    const current = running.get(image)
    if (current !== undefined) return current
    log.info({ image }, 'pulling an image that the engine does not have')
    const pulling = pullOnce(docker, image, silentMs).then(
      () => void lastFailure.delete(image),
      (error: unknown) => {
        const failure = pullFailure(error, image)
        lastFailure.set(image, failure.message)
        throw failure
      },
    ).finally(() => running.delete(image))
    pulling.catch(() => {}) // whoever waits for it hears of it
    running.set(image, pulling)
    return pulling
  }

  return {
    pull: async (image, signal) => {
      if (!NAMES_REGISTRY.test(image)) throw withoutRegistry(image)
      signal.throwIfAborted()
      const aborted = Promise.withResolvers<never>()
      const abort = (): void => aborted.reject(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      await Promise.race([begin(image), aborted.promise]).finally(() => signal.removeEventListener('abort', abort))
    },
    pullSoon: (image) => {
      if (!NAMES_REGISTRY.test(image)) return withoutRegistry(image).message
      const before = lastFailure.get(image)
      void begin(image).catch(() => {}) // the next probe tells
      return before ?? `the image ${image} is being pulled`
    },
  }
}

/**
 * A bare name is a local build's (`longshore/runner`): asking a public registry for it would run, with the model's keys,
 * whatever a stranger put there under that name.
 */
function withoutRegistry(image: string): TaskFailure {
  return new TaskFailure('image_missing', `the engine has no image ${image}; build or pull it there, or put its registry into the name (docker.io/…), so that it is pulled when it is missing`)
}

async function pullOnce(docker: Docker, image: string, silentMs: number): Promise<void> {
  const silence = new AbortController()
  const timer = setTimeout(() => silence.abort(), silentMs)
  try {
    const progress = await docker.pull(image, { abortSignal: silence.signal })
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(progress, (error) => (error === null ? resolve() : reject(error)), () => timer.refresh())
    })
  } catch (error) {
    throw silence.signal.aborted ? new TaskFailure('image_pull', `cannot pull ${image}: the registry has said nothing for ${silentMs / 1000} s`, { cause: error }) : error
  } finally {
    clearTimeout(timer)
  }
}

/** What a pull threw as the failure of a task: a registry that says no says so again, one that does not answer may do so later. */
export function pullFailure(error: unknown, image: string): TaskFailure {
  if (error instanceof TaskFailure) return error
  if (error instanceof Error && 'code' in error) return asEngineFailure(error, `pull ${image}`) // the engine itself does not answer
  const [status, said] = [engineStatus(error), String(error instanceof Error ? error.message : error).trim()]
  if (status === 400 || status === 404 || REFUSED.test(said)) return new TaskFailure('image_missing', `the registry does not give ${image} (pulls go without a login; log in and pull it on the engine): ${said}`, { cause: error })
  return new TaskFailure('image_pull', `cannot pull ${image}: ${said}`, { cause: error })
}

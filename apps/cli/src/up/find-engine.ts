import { request, type RequestOptions } from 'node:http'

/** Whether docker mode can start here. `detail` is for people. */
export interface EngineFinding { usable: boolean; detail: string }

const DEFAULT_SOCKET = '/var/run/docker.sock'
/** An engine answers a ping in milliseconds; one that hangs is as good as none. */
const ANSWER_MS = 3_000

/**
 * Asks the engine whether it is there and has the image.
 * @param dockerHost `unix:///path` or `tcp://host:port`; without it the usual socket
 */
export async function findEngine(dockerHost: string | undefined, image: string): Promise<EngineFinding> {
  const where = addressOf(dockerHost)
  if (where === undefined) return { usable: false, detail: `DOCKER_HOST is neither unix:// nor tcp://` }
  if ((await statusOf({ ...where, path: '/_ping' })) !== 200) return { usable: false, detail: 'no container engine answers' }
  const found = await statusOf({ ...where, path: `/images/${encodeURIComponent(image)}/json` })
  return found === 200 ? { usable: true, detail: `image ${image}` } : { usable: false, detail: `the engine has no image ${image}` }
}

function addressOf(dockerHost = `unix://${DEFAULT_SOCKET}`): RequestOptions | undefined {
  if (dockerHost.startsWith('unix://')) return { socketPath: dockerHost.slice('unix://'.length) }
  if (!URL.canParse(dockerHost) || !['tcp:', 'http:'].includes(new URL(dockerHost).protocol)) return undefined
  const url = new URL(dockerHost)
  return { host: url.hostname, port: url.port === '' ? 2375 : Number(url.port) }
}

/** 0: nobody answers. */
function statusOf(options: RequestOptions): Promise<number> {
  return new Promise((resolve) => {
    const call = request({ ...options, timeout: ANSWER_MS }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    call.on('timeout', () => call.destroy(new Error('no answer')))
    call.on('error', () => resolve(0))
    call.end()
  })
}

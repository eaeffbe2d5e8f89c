import type { IncomingMessage, ServerResponse } from 'node:http'
import { forwardedRequest } from './headers.ts'
import { isForwardable, passOn } from './pass-on.ts'
import { Refused } from './refused.ts'
import { modelToken, withoutKeys } from './token.ts'
import { parseModelPath, type Upstream, urlBeneath } from './upstream.ts'
import { noting, type Way } from './way.ts'

/** A call of a model provider: the token of the task goes in, the provider's own key goes out. @throws Refused */
export async function callModel(way: Way, req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
  const given = modelToken(req.headers)
  const pass = given === undefined ? undefined : await way.passes.check(given.token)
  if (given === undefined || pass === undefined) throw new Refused('token', '', 'no valid token: it stands in place of the provider\'s key, and is worth something while its task runs')
  const asked = parseModelPath(path)
  const shown = asked?.name ?? ''
  await noting(way, pass, async () => {
    const upstream = way.upstreams.find(({ name }) => name === asked?.name)
    if (asked === undefined || upstream === undefined) throw new Refused('policy', shown, `this worker has no model provider "${shown}"; it has ${way.upstreams.map(({ name }) => name).join(', ') || 'none'}`)
    const url = urlBeneath(upstream.base, asked.rest)
    if (url === undefined || !isForwardable(req.method)) throw new Refused('policy', shown, `only calls beneath the base URL of the provider "${shown}" are let through`)
    const entry = way.open.add(pass, shown, () => res.destroy())
    try {
      await passOn(req, res, url, {
        hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'), ...(url.port === '' ? {} : { port: url.port }), path: `${url.pathname}${url.search}`,
        agent: url.protocol === 'https:' ? way.agents.tls : way.agents.plain,
        headers: { ...withoutKeys(forwardedRequest(req.headers)), ...keyOf(upstream, given.put), ...upstream.headers, host: url.host },
      })
    } catch (error) {
      if (error instanceof Refused) throw error
      throw new Refused('unreachable', shown, `the model provider "${shown}" does not answer`)
    } finally {
      entry.done()
    }
  })
}

function keyOf({ key }: Upstream, put: (key: string) => Record<string, string>): Record<string, string> {
  return key === undefined ? {} : put(key)
}

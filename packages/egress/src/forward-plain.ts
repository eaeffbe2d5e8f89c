import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Pass } from './grants.ts'
import { forwardedRequest } from './headers.ts'
import { judge } from './judge.ts'
import { isForwardable, passOn } from './pass-on.ts'
import { Refused } from './refused.ts'
import { addressesOf, pinned } from './resolve.ts'
import { spell, type Target } from './target.ts'
import { noting, type Way } from './way.ts'

/** A plain HTTP request in absolute form. Each has a connection of its own: none is lent to another task. @throws Refused */
export function forwardPlain(way: Way, req: IncomingMessage, res: ServerResponse, pass: Pass, target: Target & { path: string }): Promise<void> {
  return noting(way, pass, async () => {
    const isListed = judge(pass.network, way.allow, target)
    if (!isForwardable(req.method)) throw new Refused('policy', spell(target), `${req.method ?? 'this method'} is not let through`)
    const addresses = await addressesOf(target, way.resolve, isListed ? way.ranges : [])
    const entry = way.open.add(pass, spell(target), () => res.destroy())
    try {
      await passOn(req, res, { protocol: 'http:' }, {
        hostname: target.host, port: target.port, path: target.path, agent: false, lookup: pinned(addresses),
        headers: { ...forwardedRequest(req.headers), host: target.port === 80 ? spell(target).replace(/:80$/, '') : spell(target) },
      })
    } catch (error) {
      if (error instanceof Refused) throw error
      throw new Refused('unreachable', spell(target), `${spell(target)} does not answer`)
    } finally {
      entry.done()
    }
  })
}

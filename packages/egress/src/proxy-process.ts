import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { SILENT } from '@longshore/contracts'
import { connectRedis, untilReady } from '@longshore/runtime'
import { parseRange } from './address.ts'
import { createAgents } from './agents.ts'
import { parseAllowed } from './allow-list.ts'
import { createPasses, liveGrants } from './grants.ts'
import { isOwnAddress } from './own-address.ts'
import { type Post, postAt } from './post.ts'
import { createProxy, type Proxy } from './proxy.ts'
import { fingerprintOf, ProxyConfig } from './proxy-config.ts'

// The egress proxy of one address, as a process of its own: `node proxy-process.ts`, its configuration on standard input.
// It outlives the worker that started it, so that the death of a worker cuts off no agent in the middle of a model's answer (G7).
// Another that takes its post gets the new connections; this one stays for those that it has. It ends with them, with the network
// whose gateway it listens on, when nobody has needed it for an hour, and a minute after Redis went for good.

const LOOK_EVERY_MS = 250
const IDLE_MS = 60 * 60_000
const LEFT_ALONE_MS = 60_000
/** Connections that were made just before it left have asked by then. */
const LINGER_MS = 2_000
const REDIS_WAIT_MS = 10_000

const config = ProxyConfig.parse(JSON.parse(await text(process.stdin)))
const { deployment, address, since, rules } = config
const redis = connectRedis(config.redisUrl, 'caller', SILENT)
await untilReady(redis, REDIS_WAIT_MS)

const post = postAt(redis, deployment, address)
const proxy = createProxy({
  passes: createPasses(redis, deployment, Date.now),
  upstreams: rules.upstreams, allow: rules.allow.map(parseAllowed), ranges: rules.ranges.map(parseRange), agents: createAgents(rules.proxyEnv),
})
const instance = `${process.pid}-${randomUUID()}`
const mine: Post = { instance, port: await listen(proxy.server), fingerprint: fingerprintOf(rules), since }
await post.take(mine)
keepWatch(proxy)

/** On the port that agents know. Beside another proxy, whose connections are not cut off: the kernel shares new ones out until that one leaves. */
async function listen(server: Server): Promise<number> {
  const first = await bind(server, 0)
  const agreed = await post.agree(first)
  if (agreed === first) return first
  server.close()
  await once(server, 'close')
  // Somebody else's by now: agents that know it have lost their way, those to come have another.
  return bind(server, agreed).catch(() => bind(server, 0))
}

async function bind(server: Server, port: number): Promise<number> {
  server.listen({ host: address, port, reusePort: true })
  await once(server, 'listening')
  const bound = server.address()
  return typeof bound === 'object' && bound !== null ? bound.port : 0
}

function keepWatch({ open, leave }: Proxy): void {
  let [heardAt, neededAt, isLeaving, isLooking] = [performance.now(), performance.now(), false, false]
  const look = async (): Promise<void> => {
    if (!(await isOwnAddress(address))) process.exit(0)
    const now = performance.now()
    if (open.size > 0) neededAt = now
    try {
      const serving = await post.read()
      if (!isLeaving && serving?.instance !== instance) {
        isLeaving = true
        neededAt = performance.now()
        leave()
      }
      heardAt = performance.now()
      if (!isLeaving && (await liveGrants(redis, deployment, address, Date.now())) > 0) neededAt = performance.now()
    } catch {
      // Redis is away: what is known goes on
    }
    if (open.size > 0) return
    if (now - heardAt > LEFT_ALONE_MS || now - neededAt > (isLeaving ? LINGER_MS : IDLE_MS)) process.exit(0)
  }
  setInterval(() => {
    if (isLooking) return
    isLooking = true
    void look().finally(() => { isLooking = false })
  }, LOOK_EVERY_MS)
}

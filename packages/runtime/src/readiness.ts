import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'

/** One reason to be ready or not; `detail` is for people. */
export interface Check { name: string; ok: boolean; detail: string }
export interface Readiness { ready: boolean; checks: Check[] }

/** A probe that waits longer says the same later. */
const PATIENCE_MS = 2_000

/**
 * Whether this Redis keeps what it is given (G1): reachable, writable, version 7 or newer, `noeviction`, AOF on;
 * `appendfsync` is shown, and `everysec` is an operator's own choice. A Redis that hangs is an answer, too, after 2 s.
 * @param probeKey a key of this deployment that may be written and expires.
 */
export async function checkRedis(redis: Redis, probeKey: string): Promise<Readiness> {
  const patience = new AbortController()
  const late = sleep(PATIENCE_MS, undefined, { signal: patience.signal, ref: false }).then(() => { throw new Error(`no answer within ${PATIENCE_MS} ms`) })
  try {
    return await Promise.race([lookAt(redis, probeKey), late])
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { ready: false, checks: [{ name: 'redis', ok: false, detail: `not reachable or not writable: ${detail}` }] }
  } finally {
    late.catch(() => undefined)
    patience.abort()
  }
}

async function lookAt(redis: Redis, probeKey: string): Promise<Readiness> {
  await redis.set(probeKey, '1', 'PX', 10_000)
  const info = parseInfo(await redis.info())
  const fsync = await redis.config('GET', 'appendfsync').then(valueOf, () => 'unknown')
  return judgeRedis(info, fsync)
}

/** The decision of `checkRedis`, from what INFO and CONFIG said. */
export function judgeRedis(info: Readonly<Record<string, string>>, fsync: string): Readiness {
  const version = info['redis_version'] ?? '0'
  const policy = info['maxmemory_policy'] ?? 'unknown'
  const checks: Check[] = [
    { name: 'redis', ok: true, detail: 'reachable and writable' },
    { name: 'version', ok: Number.parseInt(version, 10) >= 7, detail: `${version}; 7 or newer is needed` },
    { name: 'eviction', ok: policy === 'noeviction', detail: `maxmemory-policy ${policy}; noeviction is needed, or tasks vanish` },
    { name: 'aof', ok: info['aof_enabled'] === '1', detail: info['aof_enabled'] === '1' ? `on, appendfsync ${fsync}` : 'off; set appendonly yes, or a restart loses tasks' },
    { name: 'aof_write', ok: info['aof_last_write_status'] !== 'err', detail: info['aof_last_write_status'] ?? 'unknown' },
  ]
  return { ready: checks.every((check) => check.ok), checks }
}

function parseInfo(text: string): Record<string, string> {
  return Object.fromEntries(text.split('\r\n').filter((line) => line.includes(':')).map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1)]
  }))
}

/** CONFIG GET answers a list in RESP2 and a map in RESP3. */
function valueOf(answer: unknown): string {
  if (Array.isArray(answer)) return String(answer[1] ?? 'unknown')
  if (answer instanceof Map) return String(answer.get('appendfsync') ?? 'unknown')
  return typeof answer === 'object' && answer !== null && 'appendfsync' in answer ? String(answer.appendfsync) : 'unknown'
}

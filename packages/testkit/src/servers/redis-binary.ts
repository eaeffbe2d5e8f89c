import { devFolder } from '@longshore/infra'
import { findRedisBinary, type RedisBinary, unpackRedis } from '@longshore/redis-server'

/** The Redis program that tests start: the machine's, else the distribution's package, unpacked into the checkout once. */
export async function testRedisBinary(): Promise<RedisBinary> {
  const installed = await findRedisBinary(process.env['PATH'])
  return installed ?? unpackRedis(devFolder('redis'), process.env).catch(explain)
}

function explain(cause: unknown): never {
  throw new Error('the tests need redis-server or valkey-server, version 7 or newer, on PATH: install one', { cause })
}

import { findRedisBinary, type RedisBinary } from '@longshore/redis-server'

/** The Redis program that tests start. */
export async function testRedisBinary(): Promise<RedisBinary> {
  const binary = await findRedisBinary(process.env['PATH'])
  if (binary === undefined) throw new Error('no redis-server or valkey-server of version 7 or newer on PATH: install one')
  return binary
}

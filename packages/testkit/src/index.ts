export { type RedisServer, startRedis, type StartRedisOptions } from './servers/redis.ts'
export { sharedRedisUrl } from './servers/shared-redis.ts'
export { waitFor, type WaitForOptions } from './wait-for.ts'

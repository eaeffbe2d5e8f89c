import { inject } from 'vitest'

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string
  }
}

/** The one Redis of the whole test run; each test file keeps apart by a random deployment id. */
export function sharedRedisUrl(): string {
  return inject('redisUrl')
}

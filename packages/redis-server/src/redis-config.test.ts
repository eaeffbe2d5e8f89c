import { expect, test } from 'vitest'
import { renderRedisConfig } from './redis-config.ts'

const SETTINGS = { port: 7000, dir: '/data', aof: 'always' } as const

test('the shipped setting loses nothing and evicts nothing', () => {
  const lines = renderRedisConfig(SETTINGS).split('\n')
  expect(lines).toEqual(expect.arrayContaining(['bind 127.0.0.1', 'appendonly yes', 'appendfsync always', 'maxmemory-policy noeviction']))
})

test('no line is smuggled in through a folder or a password', () => {
  expect(() => renderRedisConfig({ ...SETTINGS, dir: '/a\nloadmodule /b' })).toThrow('line break')
  expect(renderRedisConfig({ ...SETTINGS, password: 'a" b\\' })).toContain('requirepass "a\\" b\\\\"')
})

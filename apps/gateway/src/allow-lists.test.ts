import { expect, test } from 'vitest'

import { createAllowLists } from './allow-lists.ts'

const { isHostAllowed, isOriginAllowed } = createAllowLists(['0.0.0.0', '[::]', 'Gateway.Internal'], ['https://console.example/', 'moz-extension://abc'])

test.each(['localhost', 'LOCALHOST:1', '127.0.0.1:3456', '[::1]', '[::]:80', '0.0.0.0:3456', 'gateway.internal'])('host %s is allowed', (host) => {
  expect(isHostAllowed(host)).toBe(true)
})

test.each([undefined, '', 'localhost.evil.example', 'evil.example', 'evil@localhost', 'localhost/evil', 'localhost:x', '::1:3456:9', 'localhost,evil'])('host %s is not', (host) => {
  expect(isHostAllowed(host)).toBe(false)
})

test.each([undefined, 'http://localhost', 'https://localhost:8443', 'http://127.0.0.1:1', 'http://[::1]', 'https://console.example'])('origin %s is allowed', (origin) => {
  expect(isOriginAllowed(origin)).toBe(true)
})

test.each(['', 'null', 'localhost', 'http://localhost.evil.example', 'http://evil.example', 'ftp://localhost', 'moz-extension://other', 'https://console.example:1', 'http://console.example'])('origin %s is not', (origin) => {
  expect(isOriginAllowed(origin)).toBe(false)
})

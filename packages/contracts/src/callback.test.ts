import { expect, test } from 'vitest'

import { CallbackUrl, isCallbackAllowed } from './callback.ts'

test.each([
  ['https://hooks.example/a?b=c', ['https://hooks.example/'], true], ['https://hooks.example/a', ['https://*'], true], ['http://hooks.example/a', ['https://*'], false],
  ['https://hooks.example.evil/a', ['https://hooks.example'], false], ['https://hooks.example:8443/a', ['https://hooks.example/'], false], ['https://hooks.example/teamster', ['https://hooks.example/team'], false],
  ['https://hooks.example/team/%2e%2e/other', ['https://hooks.example/team'], false], ['https://hooks.example/a', [], false],
  ['https://hooks.example/team/..%2fother', ['https://hooks.example/team'], false], ['https://hooks.example/team/x%5C%2e.%5Cother', ['https://hooks.example/team'], false], ['https://hooks.example/team/%ff', ['https://hooks.example/team'], false],
  ['https://hooks.example/team/a%2Fb..c', ['https://hooks.example/team'], true], ['http://hooks.example/a', ['http://hooks.example'], true],
] as const)('%s is allowed by %j: %s', (url, allow, is) => {
  expect(isCallbackAllowed(CallbackUrl.parse(url), allow)).toBe(is)
})

test.each(['ftp://x/', 'javascript:alert(1)', 'https://user:hunter2@x/', 'https://x/#hunter2', 'https://x/a\nb', 'https://x\\@y/', ' https://x/', `https://x/${'a'.repeat(1_000)}`, 'not a url'])('%j is refused readably and not repeated', (url) => {
  const { error } = CallbackUrl.safeParse(url)
  expect(error?.issues[0]?.message).toMatch(/^must /)
  expect(error?.message).not.toContain('hunter2')
})

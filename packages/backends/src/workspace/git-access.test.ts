import { expect, test } from 'vitest'
import { startGitServer } from '@longshore/testkit'
import { tmpdir } from 'node:os'
import { isBeneath } from '@longshore/contracts'
import { addressesFor, isPublic } from './git-access.ts'
import { askRemote } from './remote-git.ts'

test.each([
  ['https://git.example/team/app.git', 'https://git.example/', true], ['https://git.example/team/app.git', 'https://git.example/team', true], ['https://git.example/team', 'https://git.example/team/', true],
  ['https://git.example/teamster/app', 'https://git.example/team', false], ['https://git.example.evil/team/a', 'https://git.example/', false], ['https://git.example:8443/a', 'https://git.example/', false],
  ['http://git.example/a', 'https://git.example/', false], ['https://git.example/other/a', 'https://git.example/team/', false],
])('%s beneath %s: %s', (url, prefix, is) => {
  expect(isBeneath(url, prefix)).toBe(is)
})

test.each(['127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '192.0.2.1', '198.18.0.1', '::1', '::', 'fe80::1', 'fd00::1', 'ff02::1', '::ffff:127.0.0.1', '::ffff:10.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:db8::1'])('%s is not public', (address) => {
  expect(isPublic(address)).toBe(false)
})

test.each(['1.1.1.1', '140.82.121.4', '2606:4700:4700::1111'])('%s is public', (address) => {
  expect(isPublic(address)).toBe(true)
})

test.each(['https://127.0.0.1/a', 'https://2130706433/a', 'https://0x7f.1/a', 'https://[::1]/a', 'https://[::ffff:127.0.0.1]/a', 'https://169.254.169.254/latest', 'https://localhost/a'])('%s leads nowhere unless the operator names it', async (given) => {
  const url = new URL(given).href
  await expect(addressesFor(url, { allow: ['https://*'] })).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('not public') as string })
  await expect(addressesFor(url, { allow: ['https://git.example/'] })).rejects.toMatchObject({ code: 'workspace', message: expect.stringContaining('WORKSPACE_GIT_ALLOW') as string })
  expect((await addressesFor(url, { allow: [new URL(url).origin] })).length).toBeGreaterThan(0)
})

test('plain http is only where the operator names it', async () => {
  await expect(addressesFor('http://1.1.1.1/a', { allow: ['https://*'] })).rejects.toMatchObject({ code: 'workspace' })
  expect(await addressesFor('http://1.1.1.1/a', { allow: ['http://1.1.1.1/'] })).toEqual(['1.1.1.1'])
})

test('git connects to the addresses that were checked, whatever the name means by then', async () => {
  const server = await startGitServer()
  try {
    const { url } = await server.repository('pinned', {})
    const named = url.replace('127.0.0.1', 'git.invalid') // no name server knows it
    const listing = await askRemote({ url: named, addresses: ['127.0.0.1'] }, ['ls-remote', '--', named, 'HEAD'], {}, tmpdir(), { timeoutMs: 30_000 })
    expect(listing).toMatch(/^[0-9a-f]{40}\tHEAD\n$/)
  } finally {
    await server.stop()
  }
})

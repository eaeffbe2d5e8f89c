import { expect, test } from 'vitest'
import { dockerdArguments, enginePlace, FIRST_VARIANT, nextVariant } from './dockerd-settings.ts'

test('a deep checkout still has sockets that the kernel accepts', () => {
  const { run } = enginePlace(`/home/${'deep/'.repeat(60)}`)
  expect(`${run}/exec/containerd/containerd-debug.sock.ttrpc`.length).toBeLessThan(108)
})

test('two checkouts share nothing', () => {
  const [one, other] = [enginePlace('/a'), enginePlace('/b')]
  for (const key of ['data', 'run', 'socket', 'pidFile', 'bridge', 'subnet'] as const) expect(one[key]).not.toBe(other[key])
})

test('where overlay does not mount, vfs is next', () => {
  const log = 'warning about iptables\nfailed to start daemon: error initializing graphdriver: driver not supported'
  expect(nextVariant(FIRST_VARIANT, log)).toEqual({ storage: 'vfs', firewall: 'iptables' })
})

test('where the firewall refuses, the legacy one is next, then none, then nothing', () => {
  const log = 'loaded overlay\nfailed to start daemon: Error initializing network controller: error obtaining controller instance: failed to create NAT chain DOCKER'
  const legacy = nextVariant(FIRST_VARIANT, log)
  expect(legacy).toEqual({ storage: 'overlay2', firewall: 'iptables-legacy' })
  const none = legacy && nextVariant(legacy, log)
  expect(none).toEqual({ storage: 'overlay2', firewall: 'none' })
  expect(none && nextVariant(none, log)).toBeUndefined()
})

test('an error of another kind is not tried around', () => {
  expect(nextVariant(FIRST_VARIANT, 'failed to start daemon: no space left on device')).toBeUndefined()
})

test('without a firewall dockerd is told so', () => {
  expect(dockerdArguments(enginePlace('/a'), { storage: 'vfs', firewall: 'none' }, false)).toContain('--iptables=false')
})

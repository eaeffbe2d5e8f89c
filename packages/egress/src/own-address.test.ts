import { expect, test } from 'vitest'
import { isOwnAddress } from './own-address.ts'

test.each([['127.0.0.1', true], ['127.8.9.10', true], ['192.0.2.1', false]])('%s is an address of this machine: %j', async (address, expected) => {
  expect(await isOwnAddress(address)).toBe(expected)
})

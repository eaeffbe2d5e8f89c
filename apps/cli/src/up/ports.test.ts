import { createServer, type Server } from 'node:net'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { claimPorts, type WantedPort } from './ports.ts'

let taken: Server | undefined
afterEach(() => void taken?.close())

const wanted = (port: number, more: Partial<WantedPort> = {}): WantedPort => ({ variable: 'MCP_PORT', hostVariable: 'MCP_HOST', host: '127.0.0.1', port, ...more })

test('0 takes a free port, another for each', async () => {
  const [one = 0, two = 0] = await claimPorts([wanted(0), wanted(0)])
  expect(one).toBeGreaterThan(1_023)
  expect(two).toBeGreaterThan(1_023)
})

test('a taken port is refused in one line with the port, the variable and the cure', async () => {
  taken = createServer()
  await new Promise<void>((resolve) => taken?.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as AddressInfo
  const refusal = await claimPorts([wanted(port)]).then(() => '', (error: unknown) => String(error))
  expect(refusal).toMatch(new RegExp(`MCP_PORT: port ${port} on 127\\.0\\.0\\.1 is taken\\. .*MCP_PORT=\\d+ npm start`))
  expect(refusal).not.toContain('\n')
})

test('one port for two programs is refused, naming both variables', async () => {
  await expect(claimPorts([wanted(4_000), wanted(4_000, { variable: 'CONSOLE_PORT' })])).rejects.toThrow('MCP_PORT and CONSOLE_PORT are both 4000')
})

test('a host that is not of this machine is refused, naming its variable', async () => {
  await expect(claimPorts([wanted(0, { host: '203.0.113.7' })])).rejects.toThrow('MCP_HOST: this machine has no address 203.0.113.7')
})

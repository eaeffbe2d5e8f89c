import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { DeploymentId, SILENT } from '@longshore/contracts'
import { describeNeeding, engineHost, waitFor } from '@longshore/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { commandsWith } from '../fixtures/processes.ts'
import { connectEngine } from './engine.ts'
import { createHostGateway, type HostGateway } from './host-gateway.ts'
import { ensureNetwork } from './task-network.ts'

const GATEWAY = '127.0.0.2'

let service: Server
let port: number
let deployment: DeploymentId
beforeEach(async () => {
  deployment = DeploymentId.parse(`relay-${randomBytes(4).toString('hex')}`)
  service = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(service, 'listening')
  port = (service.address() as AddressInfo).port
})
afterEach(async () => {
  for (const pid of await relays()) process.kill(pid)
  await waitFor(async () => (await relays()).length === 0, { what: 'the relays to end' })
  service.close()
})

const aGateway = (): HostGateway => createHostGateway(deployment, { host: '127.0.0.1', port }, SILENT)
const relays = async (): Promise<number[]> => (await commandsWith(`host-relay.ts ${deployment} `)).map(({ pid }) => pid)
const echo = async (word: string): Promise<string> => {
  const client = connect(port, GATEWAY).setEncoding('utf8')
  client.write(word)
  const [answer] = (await once(client, 'data')) as [string]
  client.destroy()
  return answer
}

test('many tasks of several workers that open it at the same moment get one relay', async () => {
  const [one, other] = [aGateway(), aGateway()]
  await Promise.all([one, one, one, other, other].map((gateway) => gateway.open(GATEWAY)))
  expect(await echo('hello')).toBe('hello')
  await waitFor(async () => (await relays()).length === 1, { what: 'the slower one to end' })
  await one.open(GATEWAY)
  expect(await relays()).toHaveLength(1)
})

test('a relay that was killed is replaced for whoever opens it next', async () => {
  const gateway = aGateway()
  await gateway.open(GATEWAY)
  for (const pid of await relays()) process.kill(pid, 'SIGKILL')
  await waitFor(async () => (await relays()).length === 0, { what: 'the relay to be gone' })
  // The kernel may still take a connection for the one that was killed.
  await waitFor(async () => {
    await gateway.open(GATEWAY)
    return (await echo('again')) === 'again'
  }, { what: 'another relay' })
  expect(await relays()).toHaveLength(1)
})

test('an address that this host does not have is said to lead nowhere', async () => {
  await expect(aGateway().open('192.0.2.1')).rejects.toMatchObject({ code: 'backend_unavailable' })
})

describeNeeding('docker', 'on the network of an engine', () => {
  test('a relay stays where no container is yet, and ends with the network', async () => {
    const docker = connectEngine(await engineHost())
    const network = await ensureNetwork(docker, { deployment, isClosed: false })
    try {
      await aGateway().open(network.gateway)
      await expect(waitFor(async () => (await relays()).length === 0, { what: 'the relay to end', timeoutMs: 1_500 })).rejects.toThrow('in vain')
    } finally {
      await docker.getNetwork(network.name).remove()
    }
    await waitFor(async () => (await relays()).length === 0, { what: 'the relay to end' })
  })
})

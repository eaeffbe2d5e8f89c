import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { SILENT } from '@longshore/contracts'
import { waitFor } from '@longshore/testkit'
import { expect, test } from 'vitest'
import { createHostGateway } from './host-gateway.ts'

test('a relay that stands by says so once, and takes over when the other is gone', async () => {
  const other = createServer().listen(0, '127.0.0.2')
  await once(other, 'listening')
  const said: string[] = []
  const log = { ...SILENT, debug: (_fields: object, text: string) => void said.push(text) }
  const gateway = createHostGateway({ host: '127.0.0.1', port: (other.address() as AddressInfo).port }, log)
  try {
    await Promise.all(Array.from({ length: 3 }, () => gateway.open('127.0.0.2')))
    expect(said).toEqual(['another worker relays for the task network; standing by'])
    other.close()
    await waitFor(() => said.at(-1) === 'relaying for the task network', { what: 'the relay to take over' })
    expect(said).toHaveLength(2)
  } finally {
    await gateway.close()
    other.close()
  }
})

test('many tasks that open it at the same moment get one relay, which stays', async () => {
  const service = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(service, 'listening')
  const { port } = service.address() as AddressInfo
  const said: string[] = []
  const gateway = createHostGateway({ host: '127.0.0.1', port }, { ...SILENT, debug: (_fields: object, text: string) => void said.push(text) })
  try {
    await Promise.all(Array.from({ length: 3 }, () => gateway.open('127.0.0.2')))
    expect(said).toEqual([]) // it stands by for nobody, least of all for itself
    const client = connect(port, '127.0.0.2').setEncoding('utf8')
    client.write('hello')
    expect((await once(client, 'data'))[0]).toBe('hello')
    client.destroy()
  } finally {
    await gateway.close()
    service.close()
  }
})

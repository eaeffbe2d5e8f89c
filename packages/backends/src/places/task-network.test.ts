import { randomBytes } from 'node:crypto'
import { describeNeeding, engineHost } from '@longshore/testkit'
import { expect, test } from 'vitest'
import { connectEngine } from './engine.ts'
import { ensureNetwork, removeIdleNetwork } from './task-network.ts'

describeNeeding('docker', 'the network of a deployment', () => {
  test('that somebody else gave our name is neither used nor removed (G10)', async () => {
    const docker = connectEngine(await engineHost())
    const deployment = `net-${randomBytes(6).toString('hex')}`
    const theirs = await docker.createNetwork({ Name: `longshore-${deployment}`, Driver: 'bridge' })
    try {
      await expect(ensureNetwork(docker, { deployment, isClosed: false })).rejects.toThrow('is not ours')
      await expect(removeIdleNetwork(docker, { deployment, isClosed: false })).rejects.toThrow('is not ours')
      expect(await docker.listNetworks({ filters: { name: [deployment] } })).toHaveLength(1)
    } finally {
      await theirs.remove()
    }
  })

  test('is one, also when many tasks need it first at the same moment', async () => {
    const docker = connectEngine(await engineHost())
    const deployment = `net-${randomBytes(6).toString('hex')}`
    try {
      const networks = await Promise.all(Array.from({ length: 6 }, () => ensureNetwork(docker, { deployment, isClosed: false })))
      expect(new Set(networks.map(({ gateway }) => gateway)).size).toBe(1)
      expect(await docker.listNetworks({ filters: { name: [deployment] } })).toHaveLength(1)
    } finally {
      await removeIdleNetwork(docker, { deployment, isClosed: false })
    }
    expect(await docker.listNetworks({ filters: { name: [deployment] } })).toEqual([])
  })
})

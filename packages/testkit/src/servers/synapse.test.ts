import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeNeeding } from '../needs/describe-needing.ts'
import { startSynapse, type SynapseServer } from './synapse.ts'

describeNeeding('synapse', 'a Synapse of a test', () => {
  let synapse: SynapseServer
  beforeAll(async () => {
    synapse = await startSynapse({ limits: 'default' })
  })
  afterAll(() => synapse.stop())

  const whoami = async (token: string): Promise<unknown> =>
    (await fetch(`${synapse.baseUrl}/_matrix/client/v3/account/whoami`, { headers: { authorization: `Bearer ${token}` } })).json()

  test('registers users that stay known over an outage', async () => {
    const user = await synapse.registerUser('ana')
    expect(user.userId).toBe('@ana:mx.test')
    await synapse.halt()
    await expect(whoami(user.accessToken)).rejects.toThrow('fetch failed')
    await synapse.restart()
    expect(await whoami(user.accessToken)).toMatchObject({ user_id: user.userId, device_id: user.deviceId })
  })

  test('keeps the rate limits that it ships when asked to', async () => {
    const { accessToken } = await synapse.registerUser('ben')
    const create = (): Promise<Response> =>
      fetch(`${synapse.baseUrl}/_matrix/client/v3/createRoom`, { method: 'POST', headers: { authorization: `Bearer ${accessToken}` }, body: '{}' })
    // At once: one after the other a busy machine is slower than the limits.
    const statuses = (await Promise.all(Array.from({ length: 20 }, create))).map(({ status }) => status)
    expect(statuses).toContain(429)
  })
})

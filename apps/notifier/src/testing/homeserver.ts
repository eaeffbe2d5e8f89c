import { randomBytes } from 'node:crypto'

import { startSynapse, type SynapseServer } from '@longshore/testkit'
import { createMatrixClient, type MatrixClient, type RoomEvent } from '../matrix/client.ts'

export interface Person { userId: string; token: string; client: MatrixClient }
export interface Homeserver extends SynapseServer {
  /** A new user whose name begins so. */
  person(name: string): Promise<Person>
}

/** A real Synapse of this test file. */
export async function startHomeserver(limits: 'relaxed' | 'default' = 'relaxed'): Promise<Homeserver> {
  const synapse = await startSynapse({ limits })
  return Object.assign(synapse, {
    person: async (name: string) => {
      const user = await synapse.registerUser(`${name}-${randomBytes(4).toString('hex')}`)
      return { userId: user.userId, token: user.accessToken, client: createMatrixClient({ baseUrl: synapse.baseUrl, token: user.accessToken, timeoutMs: 60_000 }) }
    },
  })
}

/** Everything said in a room, oldest first. */
export async function saidIn(client: MatrixClient, roomId: string): Promise<RoomEvent[]> {
  const said: RoomEvent[] = []
  let from: string | undefined
  do {
    const page = await client.messages(roomId, from, 500)
    said.push(...page.chunk.filter((event) => event.type === 'm.room.message'))
    from = page.end
  } while (from !== undefined)
  return said.toReversed()
}

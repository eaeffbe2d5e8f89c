import { createHmac, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { devFolder, fetchSynapse, startSynapseProcess, type SynapseLimits } from '@longshore/infra'
import { freePort } from '@longshore/redis-server'
import { z } from 'zod'
import { dieWithUs } from './die-with-us.ts'

export interface StartSynapseOptions {
  /** Default `relaxed`: no rate limits. `default` are those that Synapse ships. */
  readonly limits?: SynapseLimits
}

/** A real Matrix homeserver of one test file, on loopback. */
export interface SynapseServer {
  readonly baseUrl: string
  /** What follows the colon in user ids. */
  readonly serverName: string
  /** Makes a user and logs it in. */
  registerUser(name: string): Promise<MatrixUser>
  /** Same address, same data; after `halt` too. */
  restart(): Promise<void>
  /** Ends it and keeps its data, as an outage. */
  halt(): Promise<void>
  /** Ends it and removes its data. */
  stop(): Promise<void>
}

const Registered = z.object({ user_id: z.string(), access_token: z.string(), device_id: z.string() })
const Nonce = z.object({ nonce: z.string() })

export interface MatrixUser {
  readonly userId: string
  readonly accessToken: string
  readonly deviceId: string
}

const SERVER_NAME = 'mx.test'

/** Starts a Synapse of its own: 2 to 5 s, so once per file. For suites under `describeNeeding('synapse', …)`. */
export async function startSynapse({ limits = 'relaxed' }: StartSynapseOptions = {}): Promise<SynapseServer> {
  const program = await fetchSynapse(devFolder('synapse'), process.env)
  const dir = await mkdtemp(join(tmpdir(), 'longshore-synapse-'))
  const port = await freePort()
  const launch = (): ReturnType<typeof startSynapseProcess> => startSynapseProcess(program, { dir, port, serverName: SERVER_NAME, limits })
  let current = await launch()
  let unguard = dieWithUs(current.pid)
  const end = async (): Promise<void> => {
    unguard()
    await current.stop()
  }
  return {
    baseUrl: current.baseUrl,
    serverName: SERVER_NAME,
    registerUser: (name) => register(current.baseUrl, current.registrationSecret, name),
    async restart() {
      await end()
      current = await launch()
      unguard = dieWithUs(current.pid)
    },
    halt: end,
    async stop() {
      await end()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function register(baseUrl: string, secret: string, username: string): Promise<MatrixUser> {
  const url = `${baseUrl}/_synapse/admin/v1/register`
  const { nonce } = Nonce.parse(await (await fetch(url)).json())
  const password = randomBytes(12).toString('hex')
  const mac = createHmac('sha1', secret).update([nonce, username, password, 'notadmin'].join('\0')).digest('hex')
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ nonce, username, password, admin: false, mac }),
  })
  if (!response.ok) throw new Error(`Synapse did not register ${username}: ${response.status} ${await response.text()}`)
  const user = Registered.parse(await response.json())
  return { userId: user.user_id, accessToken: user.access_token, deviceId: user.device_id }
}

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { freePort } from '@longshore/redis-server'
import { type ScriptedProvider, scriptedProviderConfig, waitFor } from '@longshore/testkit'
import { z } from 'zod'

/** A real `opencode serve` with a password, as an operator runs one for a whole deployment. */
export interface OpencodeServer {
  readonly url: string
  readonly password: string
  /** Titles of the sessions that it holds. */
  sessions(directory: string): Promise<string[]>
  /** Opens a session as a person would. */
  open(directory: string, title: string): Promise<void>
  /** Who is connected to it now, event streams included. */
  connections(): Promise<number>
  stop(): Promise<void>
}

const BINARY = createRequire(import.meta.url).resolve('opencode-ai/bin/opencode.exe')

/** @param token what the provider wants to see */
export async function startOpencodeServer(provider: ScriptedProvider, token: string): Promise<OpencodeServer> {
  const home = await mkdtemp(join(tmpdir(), 'longshore-opencode-'))
  const [port, password] = [await freePort(), randomBytes(12).toString('hex')]
  const folders = Object.fromEntries([...['DATA', 'CONFIG', 'CACHE', 'STATE'].map((name) => `XDG_${name}_HOME`), 'TMPDIR'].map((name) => [name, join(home, name.toLowerCase())]))
  await Promise.all(Object.values(folders).map((folder) => mkdir(folder)))
  const config = { ...scriptedProviderConfig(provider.url, token), autoupdate: false, share: 'disabled', permission: { '*': 'allow', external_directory: 'deny' } }
  const child = spawn(BINARY, ['serve', '--hostname', '127.0.0.1', '--port', String(port)], {
    cwd: home, stdio: 'ignore',
    env: { PATH: process.env['PATH'], HOME: home, ...folders, OPENCODE_SERVER_PASSWORD: password, OPENCODE_CONFIG_CONTENT: JSON.stringify(config), OPENCODE_DISABLE_MODELS_FETCH: '1', OPENCODE_DISABLE_AUTOUPDATE: '1' },
  })
  const exited = once(child, 'exit')
  const killOnExit = (): void => void child.kill('SIGKILL')
  process.once('exit', killOnExit)
  const url = `http://127.0.0.1:${port}`
  const ask = (path: string, body?: object): Promise<Response> => fetch(url + path, {
    headers: { authorization: `Basic ${Buffer.from(`opencode:${password}`).toString('base64')}`, 'content-type': 'application/json', connection: 'close' }, signal: AbortSignal.timeout(30_000),
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  })
  await waitFor(async () => (await ask('/global/health')).ok, { what: 'opencode serve to answer', timeoutMs: 90_000, everyMs: 100 })
  return {
    url, password,
    sessions: async (directory) => z.array(z.looseObject({ title: z.string() })).parse(await (await ask(`/session?directory=${encodeURIComponent(directory)}`)).json()).map(({ title }) => title),
    open: async (directory, title) => {
      const answer = await ask(`/session?directory=${encodeURIComponent(directory)}`, { title })
      if (!answer.ok) throw new Error(`no session: ${answer.status} ${await answer.text()}`)
    },
    connections: () => connectionsTo(port),
    async stop() {
      process.off('exit', killOnExit)
      child.kill('SIGKILL')
      await exited
      await rm(home, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Established connections to a port of this host, as the kernel counts them. */
async function connectionsTo(port: number): Promise<number> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1).map((line) => line.trim().split(/\s+/))
  return rows.filter(([, address, , state]) => address?.endsWith(local) === true && state === '01').length
}

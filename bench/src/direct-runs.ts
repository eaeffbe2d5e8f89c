import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'
import type { Readable } from 'node:stream'

import { scriptedProviderConfig, waitFor } from '@longshore/testkit'
import { createOpencodeClient } from '@opencode-ai/sdk/v2/client'
import Docker from 'dockerode'

import type { Deck } from './deck.ts'

/** What the prompt becomes in a container whose command is a shell: run without us. Resolves with its output when it ended. */
export async function directContainer({ engine }: Deck, script: string): Promise<string> {
  const docker = new Docker({ socketPath: engine.host.replace('unix://', '') })
  const container = await docker.createContainer({ Image: engine.image, Entrypoint: [], Cmd: ['sh', '-c', script], User: '1000:1000', HostConfig: { Memory: 2 * 1024 ** 3, PidsLimit: 512, NanoCpus: 2e9, Init: true } })
  try {
    await container.start()
    await container.wait()
    return (await container.logs({ stdout: true, stderr: true })).toString()
  } finally {
    await container.remove({ force: true })
  }
}

/** One session on a server of its own, by the SDK alone: server, session, prompt, the last words. The server's end is not part of the time. */
export async function directSession(deck: Deck, prompt: string): Promise<{ ms: number }> {
  const home = join(deck.home, `direct-${randomBytes(6).toString('hex')}`)
  const directory = join(home, 'repo')
  await mkdir(directory, { recursive: true })
  const began = performance.now()
  const server = spawn(createRequire(import.meta.resolve('@longshore/backends')).resolve('opencode-ai/bin/opencode.exe'), ['serve', '--hostname', '127.0.0.1', '--port', '0'], {
    cwd: directory, stdio: ['ignore', 'pipe', 'ignore'], detached: true,
    env: {
      PATH: process.env['PATH'], HOME: home, OPENCODE_CONFIG_CONTENT: JSON.stringify({ ...scriptedProviderConfig(deck.provider.url, deck.providerToken), autoupdate: false, share: 'disabled', snapshot: false, permission: 'allow' }),
      OPENCODE_DISABLE_AUTOUPDATE: '1', OPENCODE_DISABLE_LSP_DOWNLOAD: '1', OPENCODE_DISABLE_MODELS_FETCH: '1',
    },
  })
  try {
    const client = createOpencodeClient({ baseUrl: await listening(server.stdout), directory, throwOnError: true })
    const sessionID = (await client.session.create({ title: 'direct' })).data?.id ?? ''
    await client.session.promptAsync({ sessionID, parts: [{ type: 'text', text: prompt }] })
    await waitFor(async () => {
      const newest = (await client.session.messages({ sessionID, limit: 1 })).data?.[0]?.info
      return newest?.role === 'assistant' && newest.finish === 'stop' && !(sessionID in ((await client.session.status()).data ?? {}))
    }, { what: 'the session to end', everyMs: 20, timeoutMs: 60_000 })
    return { ms: performance.now() - began }
  } finally {
    if (server.pid !== undefined) process.kill(-server.pid, 'SIGKILL')
  }
}

/** A connection made before that line is never answered. */
async function listening(output: Readable): Promise<string> {
  let text = ''
  for await (const chunk of output.iterator({ destroyOnReturn: false })) {
    text += String(chunk)
    const url = /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(text)?.[1]
    if (url !== undefined) return url
  }
  throw new Error(`the OpenCode server ended before it listened: ${text}`)
}

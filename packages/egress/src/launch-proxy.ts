import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { TaskFailure } from '@longshore/contracts'
import { mustReplace, type Post, type Posts } from './post.ts'
import type { ProxyConfig } from './proxy-config.ts'

/** Seen: 0.6 s, and more than 15 on a machine with many times the work that it can do. One that ended meanwhile is not waited for. */
const START_MS = 60_000
const POLL_MS = 50
const ANSWER_MS = 2_000

/** Makes sure that a proxy with these rules, or with those of a worker that started later, serves the address. @throws TaskFailure */
export async function ensureProxy(config: ProxyConfig, posts: Posts, fingerprint: string): Promise<Post> {
  const mine = { fingerprint, since: config.since }
  const serving = async (): Promise<Post | undefined> => {
    const post = await posts.read()
    return post !== undefined && !mustReplace(post, mine) && (await answers(config.address, post.port)) ? post : undefined
  }
  let child: { hasFailed(): boolean } | undefined
  for (const end = performance.now() + START_MS; performance.now() < end && child?.hasFailed() !== true; await delay(POLL_MS)) {
    const post = await serving()
    if (post !== undefined) {
      if (child !== undefined) await posts.hasLaunched()
      return post
    }
    if (child === undefined && (await posts.mayLaunch())) child = launch(config)
  }
  await posts.hasLaunched()
  throw new TaskFailure('backend_unavailable', `the egress proxy cannot serve on ${config.address}: is that an address of this worker's machine? EGRESS=off runs tasks without it`)
}

/** It inherits nothing but whom to trust, least of all secrets, and is in no group that is ended with this worker's. */
function launch(config: ProxyConfig): { hasFailed(): boolean } {
  let hasFailed = false
  const { caFile } = config.rules
  const child = spawn(process.execPath, [join(import.meta.dirname, 'proxy-process.ts')], { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/', env: caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: caFile } })
  child.once('error', () => { hasFailed = true }).once('exit', (code) => { hasFailed ||= code !== 0 })
  child.stdin.on('error', () => {}) // it ended: then nobody answers
  child.stdin.end(JSON.stringify(config))
  child.unref()
  return { hasFailed: () => hasFailed }
}

/** Whether somebody accepts connections there. */
export async function answers(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port, timeout: ANSWER_MS })
  return new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false)).once('timeout', () => resolve(false))
  }).finally(() => socket.destroy())
}

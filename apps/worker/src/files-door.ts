import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { GitCutShort, type Storage } from '@longshore/backends'
import { type Log, LongshoreError } from '@longshore/contracts'
import { FILES_GREETING, FILES_NONCE, FILES_PROOF, isProof, proofOfAnswer, proofOfRequest } from '@longshore/queue'

import { answerFiles, type Asked, parseTarget } from './files-door-answers.ts'

export interface FilesDoorOptions {
  /** WORKER_FILES_HOST, WORKER_FILES_PORT, WORKER_FILES_URL. */
  host: string
  port: number
  url?: string | undefined
  /** The name by which others reach this machine, where `host` is every address of it. */
  hostname: string
  storage: Storage
  /** The deployment's (files-access.ts). */
  secret: () => Promise<string>
  log: Log
  /** Reads at once; one more is refused, for another worker of the storage to serve. Default 8; what makes git look takes two less. */
  maxReads?: number
}

export interface FilesDoor {
  /** What the heartbeat announces; undefined: it could not listen, which the log says. */
  url: string | undefined
  stop(): Promise<void>
}

const MAX_READS = 8
/** Git can be made to look for as long as it may: one task does not take the places of the others, nor looks those of plain reads. */
const MAX_READS_PER_TASK = 2
const KEPT_FOR_BYTES = 2
/** What one answer may take, git's looks included. */
const ANSWER_MS = 25_000
const STREAMS: ReadonlySet<Asked['what']> = new Set(['output', 'archive'])
/** Agents may knock as often as they like: who does not ask at once, or has no proof, is not kept. */
const CONNECTIONS = { headersTimeout: 5_000, requestTimeout: 10_000, connectionsCheckingInterval: 1_000 }
const MAX_CONNECTIONS = 256
/** A reader that takes nothing for so long is gone. */
const SILENCE_MS = 30_000
/** A path of 4 KiB in percent encoding and a cursor. */
const MAX_HEADER_BYTES = 32 * 1024
const WILDCARDS = new Set(['0.0.0.0', '::'])

/**
 * Serves files and diff of every task on this worker's storage, to the deployment's own processes (decision 7). Agents may reach the port:
 * without a proof every request is answered 401 before anything of it is looked at. Whose task it is, the gateway has checked.
 * A door that cannot listen costs the files, not the tasks.
 */
export async function openFilesDoor(options: FilesDoorOptions): Promise<FilesDoor> {
  const { host, port, log } = options
  // Of this process only: a request that was meant for its predecessor proves nothing here.
  const root = `/${randomBytes(8).toString('hex')}`
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, ...CONNECTIONS }, serving(options, root))
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(SILENCE_MS)
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve))
  } catch (error) {
    log.error({ err: error }, `files of tasks cannot be read through this worker: it may not listen on ${host}:${port} (WORKER_FILES_HOST, WORKER_FILES_PORT)`)
    return { url: undefined, stop: () => Promise.resolve() }
  }
  server.on('error', (error) => log.warn({ err: error }, 'the files door has trouble'))
  const base = options.url ?? `http://${inUrl(WILDCARDS.has(host) ? options.hostname : host)}:${(server.address() as AddressInfo).port}`
  return { url: `${base.replace(/\/+$/, '')}${root}`, stop: () => close(server) }
}

function serving(options: FilesDoorOptions, root: string): (request: IncomingMessage, response: ServerResponse) => void {
  const { storage, log } = options
  const isProven = proving(options.secret)
  const places = readPlaces(options.maxReads ?? MAX_READS)
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const target = request.url ?? '/'
    const proof = target.startsWith(`${root}/`) ? await isProven(request, target) : undefined
    if (proof === undefined) throw new LongshoreError('unauthorized', 'this door is for the gateways of its deployment')
    response.setHeader(FILES_PROOF, proof)
    if (target === `${root}/${FILES_GREETING}`) return void response.writeHead(204).end()
    const asked = parseTarget(target.slice(root.length))
    const leave = places.take(asked)
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    try {
      // Streams take as long as they are; a reader that is silent is gone.
      const signal = STREAMS.has(asked.what) ? gone.signal : AbortSignal.any([gone.signal, AbortSignal.timeout(ANSWER_MS)])
      await answerFiles({ storage, asked, response, signal })
    } finally {
      leave()
    }
  }
  return (request, response) => void serve(request, response).catch((thrown: unknown) => refuse(response, thrown, log))
}

/** The reads that go on. `take` @throws LongshoreError unavailable when there is no place, @returns gives it back. */
export function readPlaces(maxReads: number): { take(asked: Pick<Asked, 'taskId' | 'what'>): () => void } {
  const taken: string[] = []
  return { take: ({ taskId, what }) => {
    const places = what === 'file' || what === 'output' ? maxReads : Math.max(Math.min(1, maxReads), maxReads - KEPT_FOR_BYTES)
    const ofTask = taken.filter((one) => one === taskId).length
    if (taken.length >= places || ofTask >= MAX_READS_PER_TASK) throw new LongshoreError('unavailable', `this worker already serves ${ofTask >= MAX_READS_PER_TASK ? `${ofTask} reads of the task` : `${taken.length} reads`}`, { next: 'Try again in some seconds.' })
    taken.push(taskId)
    return () => void taken.splice(taken.indexOf(taskId), 1)
  } }
}

/** How old a known secret must be to be asked for again: whoever knocks cannot keep Redis busy. */
const ASK_AGAIN_MS = 1_000

/** @returns the proof that the answer carries; undefined: the request has none */
function proving(secret: () => Promise<string>): (request: IncomingMessage, target: string) => Promise<string | undefined> {
  let known: string | undefined
  let askedAt = -Infinity
  let asking = Promise.resolve()
  // Without Redis nobody is recognised who was not before.
  const ask = async (): Promise<void> => {
    try {
      known = await secret()
    } catch {}
  }
  const learn = (): Promise<void> => {
    if (performance.now() - askedAt > ASK_AGAIN_MS) {
      askedAt = performance.now()
      asking = ask()
    }
    return asking
  }
  return async ({ headers }, target) => {
    const nonce = headers[FILES_NONCE]
    if (typeof nonce !== 'string') return undefined
    const answer = () => (known !== undefined && isProof(headers[FILES_PROOF], proofOfRequest(known, nonce, target)) ? proofOfAnswer(known, nonce) : undefined)
    const proof = answer()
    if (proof !== undefined) return proof
    await learn()
    return answer()
  }
}

function refuse(response: ServerResponse, thrown: unknown, log: Log): void {
  // The reader sees a body that ends too early.
  if (response.headersSent || response.destroyed) return void response.destroy()
  const error = asRefusal(thrown)
  if (error.code === 'internal') log.error({ err: thrown }, 'a read of files failed')
  response.writeHead(error.status, { 'content-type': 'application/json', ...(error.code === 'unauthorized' ? { connection: 'close' } : {}) }).end(JSON.stringify(error.toBody()))
}

function asRefusal(thrown: unknown): LongshoreError {
  if (thrown instanceof LongshoreError) return thrown
  if (thrown instanceof GitCutShort || (thrown instanceof Error && (thrown.name === 'TimeoutError' || thrown.name === 'AbortError'))) {
    // Not for another worker of the storage to try: it would find as much.
    return new LongshoreError('payload_too_large', 'there is too much in the workspace to compare it with its start in time', {
      next: 'Read single files with read_task_file; what .gitignore names is not compared.', cause: thrown,
    })
  }
  return new LongshoreError('internal', 'a defect of the worker; it is in its log', { next: 'Try again; if it stays, tell the operator.', cause: thrown })
}

function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

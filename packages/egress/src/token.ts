import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type Admitted, TaskId } from '@longshore/contracts'

// lse-<task>-<claim>-<256 random bits>: what a task's agent has in place of every key. Redis holds a digest only.

const TOKEN = /^lse-(task-[0-9a-z]{26})-(\d{1,15})-([0-9a-f]{64})$/

export function newToken({ taskId, claim }: Admitted): { token: string; digest: string } {
  const secret = randomBytes(32).toString('hex')
  return { token: `lse-${taskId}-${claim}-${secret}`, digest: digestOf(secret) }
}

/** Of which execution it says it is. */
export function parseToken(token: string): (Admitted & { secret: string }) | undefined {
  const [, task, claim, secret] = TOKEN.exec(token) ?? []
  const taskId = TaskId.safeParse(task).data
  return taskId === undefined || secret === undefined ? undefined : { taskId, claim: Number(claim), secret }
}

export function isSecretOf(digest: string, secret: string): boolean {
  const [known, given] = [Buffer.from(digest, 'hex'), Buffer.from(digestOf(secret), 'hex')]
  return known.length === given.length && timingSafeEqual(known, given)
}

function digestOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** As proxies are told: the password of basic credentials, whatever the name, or a bearer. */
export function proxyToken({ 'proxy-authorization': given }: IncomingHttpHeaders): string | undefined {
  const [, scheme = '', value = ''] = /^(\S{1,20}) +(\S{1,1000})$/.exec(given ?? '') ?? []
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() !== 'basic') return undefined
  return Buffer.from(value, 'base64').toString('latin1').split(':').slice(1).join(':')
}

/** The headers in which model providers look for a key. */
const KEY_HEADERS = ['authorization', 'x-api-key', 'x-goog-api-key', 'api-key'] as const

/** As the client of a model provider sends its key; `header` is where the real one belongs. */
export function modelToken(headers: IncomingHttpHeaders): { token: string; put(key: string): Record<string, string> } | undefined {
  for (const name of KEY_HEADERS) {
    const given = headers[name]
    const [, bearer = '', token] = /^(bearer +)?(lse-\S{1,200})$/i.exec(typeof given === 'string' ? given : '') ?? []
    if (token !== undefined) return { token, put: (key) => ({ [name]: `${bearer}${key}` }) }
  }
  return undefined
}

/** None of them goes to a provider as the agent wrote it. */
export function withoutKeys<T extends object>(headers: T): T {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !KEY_HEADERS.some((one) => one === name))) as T
}

import { type Admitted, type Egress, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import type { WayOut } from '../model/guarded-model.ts'
import { WATCHDOG_SLACK_MS } from './server-place.ts'

/** What stands in an agent's environment so that its tools go through the proxy, and to the proxy itself directly. */
export function wayOutEnvironment({ origin, token }: WayOut): Record<string, string> {
  const proxy = new URL(origin)
  ;[proxy.username, proxy.password] = ['longshore', token]
  const direct = `localhost,127.0.0.1,::1,${proxy.hostname.replaceAll(/[[\]]/g, '')}`
  return {
    HTTP_PROXY: proxy.href, HTTPS_PROXY: proxy.href, http_proxy: proxy.href, https_proxy: proxy.href, NO_PROXY: direct, no_proxy: direct,
    NODE_USE_ENV_PROXY: '1', // else Node's own fetch knows no proxies
  }
}

/** A task is never let out further than it asked for. @throws TaskFailure where nothing can keep it to that */
export function mayKeep(egress: Egress | undefined, { network = 'full' }: Pick<Task, 'network'>): void {
  if (egress === undefined && network !== 'full') throw new TaskFailure('internal', `the task asks for the network "${network}", and nothing here keeps it to that: this worker's EGRESS is off, or the OpenCode server is not its own (OPENCODE_SERVER_URL)`)
}

/** A token for one execution, at a proxy that answers. Its execution's own watchdog ends it before the token does. @throws TaskFailure */
export async function letOut(egress: Egress, address: string, { task, claim, deadlineAt }: { task: Pick<Task, 'id' | 'network'>; claim: number; deadlineAt: number }): Promise<WayOut> {
  const origin = await egress.open(address)
  return { origin, token: await egress.admit({ taskId: task.id, claim, address, network: task.network, expiresAt: deadlineAt + WATCHDOG_SLACK_MS }) }
}

/** Ends an execution and, first of all, what its token is worth. Redis may not answer: the execution ends all the same, and whoever asked hears of it. */
export async function revoking(egress: Egress | undefined, execution: Admitted | undefined, end: () => Promise<void>): Promise<void> {
  const revoked = execution === undefined ? undefined : egress?.revoke(execution)
  revoked?.catch(() => {}) // awaited below
  await end()
  await revoked
}

const TELL_EVERY_MS = 1_000

/** Until an execution is over, says in the task's log and in the worker's what the proxy refused to it: its tools may not. Resolves as the outcome does. */
export async function tellingRefusals<T>(egress: Egress | undefined, execution: Admitted | undefined, run: Pick<RunContext, 'emit' | 'signal' | 'log'>, outcome: Promise<T>): Promise<T> {
  if (egress === undefined || execution === undefined) return outcome
  let last = Promise.resolve()
  const tellSoon = (): Promise<void> => last = last.then(() => tell(egress, execution, run)).catch(() => {}) // Redis is away, or the claim is lost: whoever goes on tells it
  const timer = setInterval(() => void tellSoon(), TELL_EVERY_MS)
  run.signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  try {
    return await outcome
  } finally {
    clearInterval(timer)
    if (!run.signal.aborted) await tellSoon()
  }
}

async function tell(egress: Egress, execution: Admitted, { emit, log }: Pick<RunContext, 'emit' | 'log'>): Promise<void> {
  for (const { host, reason, count } of await egress.refusals(execution)) {
    log.warn({ host, reason, count }, 'the egress proxy refused a connection of the agent')
    await emit([{ type: 'task.output', payload: { stream: 'stderr', text: `[longshore] network: ${host || 'a request'} was refused (${reason})${count > 1 ? `, ${count} times` : ''}\n` } }])
  }
}

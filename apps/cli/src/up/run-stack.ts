import { relative } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { createApiKeys, createLedger } from '@longshore/ledger'
import { connectRedis, untilReady } from '@longshore/runtime'
import { Complaint, type Context } from '../command.ts'
import { createGatewayClient } from '../gateway-client.ts'
import { provisionKeys, type StackKeys } from '../key-files.ts'
import { announceRedis, withdrawRedis } from '../redis-access.ts'
import { announceStack, reachable, withdrawStack } from '../stack.ts'
import { showBanner } from './banner.ts'
import type { EngineFinding } from './find-engine.ts'
import type { StackRedis } from './open-redis.ts'
import { programsOf, type StackPlan } from './programs.ts'
import { runSample } from './run-sample.ts'
import { type StackPrograms, startPrograms } from './stack-programs.ts'
import { sayRow, whereTasksRun } from './start-report.ts'

/** A Redis that loads a large file answers when it is done. */
const REDIS_MS = 60_000

interface RunningParts { plan: StackPlan; engine: EngineFinding; redis: StackRedis; context: Context }

/**
 * Runs a planned stack until the person stops it, one of its programs is hopeless, or its Redis ends.
 * Whatever happens, the programs are stopped when this returns or throws.
 * @throws GaveUp, Complaint
 */
export async function runStack(parts: RunningParts): Promise<void> {
  const { plan, redis, context: { terminal, signal, hurry, env } } = parts
  const before = await prepareRedis(plan)
  const ends = Promise.race([aborted(signal), redis.ended])
  const programs = startPrograms(programsOf(plan), terminal, env['LOG_FORMAT'] === 'json' ? 'json' : 'readable')
  const untilOver = Promise.race([ends, programs.gaveUp])
  try {
    await Promise.race([welcome(parts, programs, before), untilOver])
    if (!signal.aborted) await untilOver
  } finally {
    await stopPrograms(programs, parts, hurry)
  }
}

/** The stack comes up, introduces itself, shows its sample, and lets its logs be read. */
async function welcome({ plan, engine, context: { terminal, signal } }: RunningParts, programs: StackPrograms, before: Before): Promise<void> {
  const { settings, ports, home } = plan
  const begun = performance.now()
  await programs.ready
  const gatewayUrl = `http://${reachable(settings.MCP_HOST)}:${ports.gateway}`
  const consoleUrl = `http://${reachable(settings.CONSOLE_HOST)}:${ports.console}`
  await announceStack(home, { pid: process.pid, gateway_url: gatewayUrl, console_url: consoleUrl })
  const { opencode_percent: percent } = await createGatewayClient(gatewayUrl, before.keys.operator).rollout()
  const place = whereTasksRun(percent, engine)
  sayRow(terminal, 'Tasks', place.text)
  sayRow(terminal, 'Programs', `gateway, worker, notifier and console are ready (${((performance.now() - begun) / 1_000).toFixed(1)} s)`)
  if (place.warning !== undefined) terminal.complain(terminal.paint('yellow', place.warning))
  showBanner({ gatewayUrl, consoleUrl, home: shortPath(home), agentKey: before.keys.agent, tasksKnown: before.tasksKnown }, terminal)
  if (plan.model.kind === 'scripted' && settings.LONGSHORE_SAMPLE && before.tasksKnown === 0) {
    await runSample(createGatewayClient(gatewayUrl, before.keys.agent), terminal, signal)
  }
  programs.showLogs()
}

/** What is in Redis before the programs start, and the keys put there. */
interface Before { keys: StackKeys; tasksKnown: number }

async function prepareRedis({ settings, home, redisUrl }: StackPlan): Promise<Before> {
  const redis = connectRedis(redisUrl, 'background', SILENT)
  try {
    await untilReady(redis, settings.REDIS_URL === undefined ? REDIS_MS : 10_000).catch((error: unknown) => {
      const { host } = new URL(redisUrl)
      throw new Complaint(`REDIS_URL: no Redis answers at ${host} (${error instanceof Error ? error.message : String(error)}). Start it, or leave REDIS_URL out: npm start then runs a private one.`, { cause: error })
    })
    const keys = await provisionKeys(createApiKeys(redis, settings.LONGSHORE_DEPLOYMENT), home, {
      agent: settings.LONGSHORE_AGENT_KEY, operator: settings.LONGSHORE_API_KEY, agentId: settings.LONGSHORE_AGENT_ID,
    })
    await announceRedis(home, redisUrl)
    const counts = await createLedger({ redis, deployment: settings.LONGSHORE_DEPLOYMENT, log: SILENT }).counts()
    return { keys, tasksKnown: Object.values(counts).reduce((sum, count) => sum + count, 0) }
  } finally {
    redis.disconnect()
  }
}

async function stopPrograms(programs: StackPrograms, { plan, context: { terminal } }: RunningParts, hurry: AbortSignal): Promise<void> {
  terminal.say()
  terminal.say('Stopping …')
  await programs.stop((program) => terminal.say(terminal.paint('dim', `  waiting for the ${program.name}, at most ${Math.round(program.stopMs / 1_000)} s (Ctrl-C again: not at all)`)), hurry)
  await withdrawStack(plan.home)
  await withdrawRedis(plan.home)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Relative to the working directory where that is shorter. */
export function shortPath(path: string): string {
  const short = relative(process.cwd(), path)
  return short !== '' && short.length < path.length && !short.startsWith('..') ? short : path
}

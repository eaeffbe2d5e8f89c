import { relative } from 'node:path'
import type { Context } from '../command.ts'
import { createGatewayClient } from '../gateway-client.ts'
import { withdrawRedis } from '../redis-access.ts'
import { announceStack, reachable, withdrawStack } from '../stack.ts'
import { showBanner } from './banner.ts'
import type { EngineFinding } from './find-engine.ts'
import type { StackRedis } from './open-redis.ts'
import type { Prepared } from './prepare-redis.ts'
import { programsOf, type StackPlan } from './programs.ts'
import { runSample } from './run-sample.ts'
import { type StackPrograms, startPrograms } from './stack-programs.ts'
import { sayRow, whereTasksRun } from './start-report.ts'

/** A stack that is ready to run. */
export interface StackParts { plan: StackPlan; engine: EngineFinding; redis: StackRedis; prepared: Prepared; context: Context }

/**
 * Runs a planned stack until the person stops it, one of its programs is hopeless, or its Redis ends.
 * Whatever happens, the programs are stopped when this returns or throws.
 * @throws GaveUp, Complaint
 */
export async function runStack(parts: StackParts): Promise<void> {
  const { plan, redis, context: { terminal, signal, env } } = parts
  const ends = Promise.race([aborted(signal), redis.ended])
  const programs = startPrograms(programsOf(plan), terminal, env['LOG_FORMAT'] === 'json' ? 'json' : 'readable')
  const untilOver = Promise.race([ends, programs.gaveUp])
  try {
    await Promise.race([welcome(parts, programs), untilOver])
    if (!signal.aborted) await untilOver
  } finally {
    await stopPrograms(programs, parts)
  }
}

/** The stack comes up, introduces itself, shows its sample, and lets its logs be read. */
async function welcome({ plan, engine, prepared, context: { terminal, signal } }: StackParts, programs: StackPrograms): Promise<void> {
  const { settings, ports, home } = plan
  const begun = performance.now()
  await programs.ready
  const gatewayUrl = `http://${reachable(settings.MCP_HOST)}:${ports.gateway}`
  const consoleUrl = `http://${reachable(settings.CONSOLE_HOST)}:${ports.console}`
  await announceStack(home, { pid: process.pid, gateway_url: gatewayUrl, console_url: consoleUrl })
  const { opencode_percent: percent } = await createGatewayClient(gatewayUrl, prepared.keys.operator).rollout()
  const place = whereTasksRun(percent, engine)
  sayRow(terminal, 'Tasks', place.text)
  sayRow(terminal, 'Programs', `gateway, worker, notifier and console are ready (${((performance.now() - begun) / 1_000).toFixed(1)} s)`)
  if (place.warning !== undefined) terminal.complain(terminal.paint('yellow', place.warning))
  showBanner({ gatewayUrl, consoleUrl, home: shortPath(home), agentKey: prepared.keys.agent, tasksKnown: prepared.tasksKnown }, terminal)
  if (plan.model.kind === 'scripted' && settings.LONGSHORE_SAMPLE && prepared.tasksKnown === 0) {
    await runSample(createGatewayClient(gatewayUrl, prepared.keys.agent), terminal, signal)
  }
  if (!signal.aborted) programs.showLogs()
}

async function stopPrograms(programs: StackPrograms, { plan, context: { terminal } }: StackParts): Promise<void> {
  terminal.say()
  terminal.say('Stopping …')
  await programs.stop((program) => terminal.say(terminal.paint('dim', `  waiting for the ${program.name}, at most ${Math.round(program.stopMs / 1_000)} s`)))
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

import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Settings } from '@longshore/runtime'
import type { Context } from '../command.ts'
import { chooseModel } from './choose-model.ts'
import { type EngineFinding, findEngine } from './find-engine.ts'
import { claimPorts, freePorts } from './ports.ts'
import type { StackPlan } from './programs.ts'

/** The ports of a stack: those that people use, and free ones for those that only we ask. @throws Complaint */
export async function planPorts(settings: Settings): Promise<StackPlan['ports']> {
  const [gateway = 0, console = 0, worker = 0, notifier = 0] = await claimPorts([
    { variable: 'MCP_PORT', hostVariable: 'MCP_HOST', host: settings.MCP_HOST, port: settings.MCP_PORT },
    { variable: 'CONSOLE_PORT', hostVariable: 'CONSOLE_HOST', host: settings.CONSOLE_HOST, port: settings.CONSOLE_PORT },
    { variable: 'WORKER_HEALTH_PORT', hostVariable: 'WORKER_HEALTH_HOST', host: settings.WORKER_HEALTH_HOST, port: settings.WORKER_HEALTH_PORT },
    { variable: 'NOTIFIER_HEALTH_PORT', hostVariable: 'NOTIFIER_HEALTH_HOST', host: settings.NOTIFIER_HEALTH_HOST, port: settings.NOTIFIER_HEALTH_PORT },
  ])
  const [provider = 0] = await freePorts(1)
  return { gateway, console, worker, notifier, provider }
}

/** Decides everything else: the model, and where tasks run. */
export async function planStack(context: Context, known: Pick<StackPlan, 'home' | 'redisUrl' | 'ports'>, userHome: string): Promise<{ plan: StackPlan; engine: EngineFinding }> {
  const settings = context.settings()
  const { env } = context
  const engine = await findEngine(settings.DOCKER_HOST, settings.RUNNER_IMAGE)
  const authPath = join(env['XDG_DATA_HOME'] ?? join(userHome, '.local/share'), 'opencode/auth.json')
  const text = await readFile(authPath, 'utf8').catch(() => undefined)
  return {
    engine,
    plan: {
      ...known, settings, env,
      root: join(import.meta.dirname, '../../../..'),
      model: chooseModel({ wanted: settings.LONGSHORE_MODEL, env, authFile: text }),
      startPercent: startPercentOf(settings, engine),
      providerToken: randomBytes(24).toString('base64url'),
    },
  }
}

/** Docker mode only where it can run; OpenCode mode needs nothing. What the environment says goes first. */
export function startPercentOf(settings: Pick<Settings, 'CANARY_OPENCODE_PERCENT' | 'OPENCODE_SERVER_ENABLED'>, engine: EngineFinding): number | undefined {
  if (settings.CANARY_OPENCODE_PERCENT !== undefined || settings.OPENCODE_SERVER_ENABLED !== undefined) return undefined
  return engine.usable ? 0 : 100
}

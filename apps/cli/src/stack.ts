import { readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { Complaint, type Context } from './command.ts'
import { createGatewayClient, type GatewayClient } from './gateway-client.ts'
import { type KeyRole, readKey } from './key-files.ts'

const RunningStack = z.object({ pid: z.int(), gateway_url: z.url(), console_url: z.url() })
/** Where the stack of a home listens, while it runs. */
export type RunningStack = z.infer<typeof RunningStack>

const fileOf = (home: string): string => join(home, 'running.json')

/** Lets the other commands find this stack, whatever its ports are. */
export async function announceStack(home: string, stack: RunningStack): Promise<void> {
  await writeFile(fileOf(home), `${JSON.stringify(stack, null, 2)}\n`)
}

export async function withdrawStack(home: string): Promise<void> {
  await rm(fileOf(home), { force: true })
}

/** The home as an absolute path. */
export function homeOf(context: Pick<Context, 'settings'>): string {
  return resolve(context.settings().LONGSHORE_HOME)
}

/** A loopback address to reach a program that listens on all addresses. */
export function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/**
 * The gateway of this home's stack with the key for the role: `--url`, else MCP_PORT, else what runs, else the default port.
 * @throws Complaint when there is no key
 */
export async function gatewayOf(context: Context, role: KeyRole, url: string | undefined): Promise<GatewayClient> {
  const settings = context.settings()
  const home = homeOf(context)
  const given = role === 'operator' ? settings.LONGSHORE_API_KEY : settings.LONGSHORE_AGENT_KEY
  const key = given ?? (await readKey(home, role))
  if (key === undefined) {
    throw new Complaint(`There is no ${role} key in ${join(home, 'keys')}. Start Longshore once with "npm start", or set LONGSHORE_HOME or ${role === 'operator' ? 'LONGSHORE_API_KEY' : 'LONGSHORE_AGENT_KEY'}.`)
  }
  const running = context.env['MCP_PORT'] === undefined ? await runningStack(home) : undefined
  return createGatewayClient((url ?? running?.gateway_url ?? `http://${reachable(settings.MCP_HOST)}:${settings.MCP_PORT}`).replace(/\/+$/, ''), key)
}

async function runningStack(home: string): Promise<RunningStack | undefined> {
  const text = await readFile(fileOf(home), 'utf8').catch(() => '{}')
  try {
    return RunningStack.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

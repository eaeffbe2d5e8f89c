import { readdir, readFile } from 'node:fs/promises'
import { request } from 'node:http'

import { waitFor } from '@longshore/testkit'
import { z } from 'zod'

/** Something that a task or deployment left on this machine. */
export interface Leftover { kind: 'process' | 'container' | 'network'; id: string; about: string }

/** Where a name may be left: this machine's processes, and an engine's containers. */
export interface Places { engineSocket: string | undefined }

/**
 * Whatever is left of a task or deployment: processes that have its name in their environment or arguments
 * (a task's own home is named after it, and children inherit that), containers, also stopped ones, and networks.
 */
export async function leftoversOf(name: string, { engineSocket }: Places): Promise<Leftover[]> {
  const [processes, others] = await Promise.all([processesOf(name), engineSocket === undefined ? [] : onEngine(engineSocket, name)])
  return [...processes, ...others]
}

/** @throws Error naming what is left after `timeoutMs` */
export async function nothingLeftOf(name: string, places: Places, timeoutMs = 60_000): Promise<void> {
  let left: Leftover[] = []
  await waitFor(async () => (left = await leftoversOf(name, places)).length === 0, { what: `nothing to be left of ${name}`, timeoutMs, everyMs: 100 }).catch((error: unknown) => {
    throw new Error(`left of ${name}: ${sayLeft(left)}`, { cause: error })
  })
}

export function sayLeft(left: readonly Leftover[]): string {
  return left.map(({ kind, id, about }) => `${kind} ${id} (${about})`).join('; ')
}

/** Ends what a failed test left, so that the next one is not disturbed. The name must be unique to us. */
export async function sweep(left: readonly Leftover[], { engineSocket }: Places): Promise<void> {
  for (const { kind, id } of left) {
    if (kind === 'process') killIfThere(Number(id))
    else if (engineSocket !== undefined) await askEngine(engineSocket, kind === 'network' ? `/networks/${id}` : `/containers/${id}?force=1`, 'DELETE').catch(() => undefined)
  }
}

/** SIGKILL of the OpenCode servers of a task, in a container or not; their children are left to themselves. @returns how many there were */
export async function killServersOf(taskId: string): Promise<number> {
  const servers = (await processesOf(taskId)).filter(({ about }) => /^\S*opencode(\.exe)? serve /.test(about))
  for (const { id } of servers) killIfThere(Number(id))
  return servers.length
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone already.
  }
}

async function processesOf(name: string): Promise<Leftover[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
  const read = (pid: string, file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')
  const found = await Promise.all(pids.map(async (pid): Promise<Leftover | undefined> => {
    const [environment, command] = await Promise.all([read(pid, 'environ'), read(pid, 'cmdline')])
    return environment.includes(name) || command.includes(name) ? { kind: 'process', id: pid, about: command.replaceAll('\0', ' ').slice(0, 120) } : undefined
  }))
  return found.filter((one) => one !== undefined)
}

const Listed = z.array(z.looseObject({ Id: z.string(), Names: z.array(z.string()).optional(), Name: z.string().optional(), Status: z.string().optional() }))

async function onEngine(socketPath: string, name: string): Promise<Leftover[]> {
  const list = async (kind: Leftover['kind'], path: string): Promise<Leftover[]> => Listed.parse(await askEngine(socketPath, path))
    .filter((one) => JSON.stringify(one).includes(name))
    .map(({ Id, Names, Name, Status }) => ({ kind, id: Id.slice(0, 12), about: [...(Names ?? [Name]), Status ?? ''].join(' ') }))
  return [...await list('container', '/containers/json?all=1'), ...await list('network', '/networks')]
}

/** Asks the Docker Engine's API. */
export function askEngine(socketPath: string, path: string, method: 'GET' | 'DELETE' | 'POST' = 'GET', body?: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, method, timeout: 30_000, headers: { 'content-type': 'application/json' } }, (response) => {
      resolve(response.toArray().then((chunks) => {
        const text = Buffer.concat(chunks as Buffer[]).toString()
        return text === '' ? undefined : JSON.parse(text) as unknown
      }))
    }).once('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
  })
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { SYSTEM_PATH, WITH_US } from './git.ts'
import type { WorkspaceLimits } from './git-access.ts'

/** A count that takes longer is given up. */
const MEASURE_MS = 60_000
const BLOCK_BYTES = 512

/**
 * Whether a folder holds more than it may: which limit it is, for people; undefined while it holds less. A million names are counted by a program
 * of its own, which gets the processor last, and ends where the limit is passed. No link is followed, no other disk entered. Blocks count, not lengths: a hole takes no place.
 * @throws when the folder cannot be counted, or not in time
 */
export async function outgrows(folder: string, limits: WorkspaceLimits, signal?: AbortSignal): Promise<string | undefined> {
  const found = { bytes: 0, files: 0 }
  const child = spawn('nice', ['-n', '19', ...WITH_US, 'find', '-P', folder, '-xdev', '-printf', '%y %b %n\\n'], {
    stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: SYSTEM_PATH, LC_ALL: 'C' }, timeout: MEASURE_MS, killSignal: 'SIGKILL', ...(signal === undefined ? {} : { signal }),
  })
  const ended = once(child, 'close')
  ended.catch(() => {}) // awaited below
  let rest = ''
  for await (const chunk of child.stdout.setEncoding('latin1')) {
    const lines = `${rest}${String(chunk)}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) add(found, line)
    const over = overOf(found, limits)
    if (over !== undefined) {
      child.kill('SIGKILL')
      return over
    }
  }
  const [code] = await ended as [number | null]
  // 1: something went away meanwhile, or may not be read.
  if (code !== 0 && (code !== 1 || found.files === 0)) throw new Error(`find ended with ${code ?? `a signal, after ${found.files} names`}`)
  return undefined
}

/** A file of many names is one file: each name has its part. */
function add(found: WorkspaceLimits, line: string): void {
  const [kind, blocks, links] = line.split(' ')
  found.files += 1
  found.bytes += (Number(blocks) * BLOCK_BYTES) / (kind === 'd' ? 1 : Math.max(1, Number(links)))
}

function overOf(found: WorkspaceLimits, { bytes, files }: WorkspaceLimits): string | undefined {
  if (found.files > files) return `more than ${files} files and folders (WORKSPACE_MAX_FILES)`
  if (found.bytes > bytes) return `more than ${bytes} bytes (WORKSPACE_MAX_BYTES)`
  return undefined
}

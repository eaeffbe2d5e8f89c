import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, open, opendir } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { MAX_PATH_BYTES } from '@longshore/contracts'
import { beneath, FOLDER, withFolder } from './open-beneath.ts'
import type { Workspace } from './storage.ts'

/** As in listings (list-files.ts). */
const MAX_NAMES = 100_000
const MAX_DEPTH = 64
const MAX_ENTERED_BYTES = MAX_PATH_BYTES - 256
const YIELD_EVERY = 256

/** Something in a workspace. `name`: from `repo` down, bytes as latin1. `folder`: the open folder that it is in. */
export interface Walked { name: string; stats: Stats; folder: FileHandle; repo: FileHandle }

export interface Walk {
  /** The whole tree in the order of listings: names in order, each folder before what is in it. Without any `.git`. */
  entries: AsyncGenerator<Walked>
  /** A folder held more names than are looked at, or lay too deep. */
  isTruncated(): boolean
}

/** Walks `repo` through held descriptors; follows no link. @throws LongshoreError */
export function walkTree(workspace: Workspace, signal: AbortSignal): Walk {
  const state = { isTruncated: false, seen: 0 }
  async function* root(): AsyncGenerator<Walked> {
    const repo = await withFolder(workspace, [], 'path', (folder) => open(beneath(folder, '.'), constants.O_RDONLY | constants.O_DIRECTORY))
    try {
      yield* walk(repo, '', 0, repo)
    } finally {
      await repo.close()
    }
  }
  async function* walk(folder: FileHandle, prefix: string, depth: number, repo: FileHandle): AsyncGenerator<Walked> {
    for (const each of await namesIn(folder, state)) {
      signal.throwIfAborted()
      // What is known already is answered without a pause, and a worker has more to do.
      if (++state.seen % YIELD_EVERY === 0) await setImmediate()
      const stats = await lstat(beneath(folder, each)).catch(() => undefined)
      if (stats === undefined) continue
      const name = prefix === '' ? each : `${prefix}/${each}`
      yield { name, stats, folder, repo }
      if (!stats.isDirectory()) continue
      if (depth >= MAX_DEPTH || name.length > MAX_ENTERED_BYTES) {
        state.isTruncated = true
        continue
      }
      const inner = await open(beneath(folder, each), FOLDER).catch(() => undefined)
      if (inner === undefined) continue
      try {
        yield* walk(inner, name, depth + 1, repo)
      } finally {
        await inner.close()
      }
    }
  }
  return { entries: root(), isTruncated: () => state.isTruncated }
}

async function namesIn(folder: FileHandle, state: { isTruncated: boolean }): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of await opendir(beneath(folder).toString('latin1'), { encoding: 'latin1', bufferSize: 1_024 })) {
    if (name === '.git') continue
    if (names.length >= MAX_NAMES) {
      state.isTruncated = true
      break
    }
    names.push(name)
  }
  return names.sort()
}

import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { PassThrough } from 'node:stream'

import { archiveWorkspace, type Archived, type WholeDiff } from '@longshore/backends'
import { type IndexLine, type Manifest, toLine } from '@longshore/blobs'
import { walkOrder } from '@longshore/contracts'

import type { Keeping } from './keep-task.ts'

/** What an entry takes besides its content: header, padding, a pax header where its name needs one. */
const ENTRY_BYTES = 2_048
/** What nobody changed may fill so much of the room: what the task did comes first, wherever it stands in the order of names. */
const UNCHANGED_SHARE = 0.5

/** Names are listed also where nothing fits any more, up to so much. */
const LEAST_INDEX_BYTES = 16 * 1024 * 1024

/** Stores the archive of `repo` and, while it is written, the index that leads to each file in it. */
export async function keepTree(keeping: Keeping, diff: WholeDiff | undefined, room: number): Promise<Manifest['tree']> {
  const { put, workspace, task, signal, notes } = keeping
  const tree: Manifest['tree'] = { entries: 0, truncated: false, left_out: 0, left_out_bytes: 0, ...(diff === undefined ? { changes_unknown: notes.diff ?? 'not known' } : {}) }
  if (!(await stat(workspace.repo).then((found) => found.isDirectory(), () => false))) {
    notes.tar = task.workspace?.name === undefined ? 'its workspace was not there any more' : `the workspace "${task.workspace.name}" had gone on to a later task`
    return { ...tree, truncated: true }
  }
  const kinds = new Map(diff?.changes.map(({ path, change }) => [path, change === 'renamed' ? 'modified' as const : change]))
  const index = createIndex(kinds, (content) => put('index', content))
  const archive = archiveWorkspace(workspace, {
    prefix: task.id, signal,
    admits: ({ name, size = 0 }, position) => position + index.bytes() + size + ENTRY_BYTES <= room * (kinds.has(name) ? 1 : UNCHANGED_SHARE),
    onEntry: async (entry) => {
      tree.entries += 1
      if (entry.left !== undefined) {
        tree.left_out += 1
        tree.left_out_bytes += entry.size ?? 0
      }
      if (index.bytes() < Math.max(room, LEAST_INDEX_BYTES)) await index.add(entry)
      else tree.truncated = true
    },
  })
  try {
    await put('tar', archive)
    await index.end()
  } catch (error) {
    await index.drop()
    throw error
  }
  if (tree.left_out > 0) notes.tar = `${tree.left_out} of ${tree.entries} entries are not in it; a note in it names them`
  return tree
}

interface Index {
  add(entry: Archived): Promise<void>
  end(): Promise<void>
  drop(): Promise<void>
  bytes(): number
}

/** Lines in the order of the walk, with what was deleted where it was. Holds no more than what its reader has not taken yet. */
function createIndex(kinds: ReadonlyMap<string, NonNullable<IndexLine['change']>>, store: (content: AsyncIterable<Uint8Array>) => Promise<unknown>): Index {
  const deleted = [...kinds].flatMap(([name, change]) => (change === 'deleted' ? [{ name, order: walkOrder(name) }] : [])).sort((a, b) => (a.order < b.order ? -1 : 1))
  const lines = new PassThrough()
  const stored = store(lines)
  stored.catch(() => undefined) // whoever writes the next line hears of it
  lines.on('error', () => undefined) // its reader may be gone
  let [bytes, at] = [0, 0]
  const write = async (line: IndexLine) => {
    const text = toLine(line)
    bytes += text.length
    if (!lines.write(text)) await Promise.race([once(lines, 'drain'), stored])
  }
  /** What was deleted up to a name. */
  const gone = async (before?: string) => {
    const isDue = ({ order }: { order: string }) => before === undefined || order <= before
    for (let next = deleted[at]; next !== undefined && isDue(next); next = deleted[++at]) {
      // Something else may have its name by now.
      if (next.order !== before) await write({ name: next.name, type: 'file', change: 'deleted' })
    }
  }
  return {
    bytes: () => bytes,
    add: async (entry) => {
      await gone(walkOrder(entry.name))
      const change = kinds.get(entry.name)
      await write({ ...entry, ...(change === undefined || change === 'deleted' ? {} : { change }) })
    },
    end: async () => {
      await gone()
      lines.end()
      await stored
    },
    drop: async () => {
      lines.destroy(new Error('the archive broke'))
      await Promise.allSettled([stored])
    },
  }
}

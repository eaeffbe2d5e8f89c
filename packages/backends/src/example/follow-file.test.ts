import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SILENT } from '@longshore/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { record, type Recorded, textOf } from '../fixtures/record.ts'
import { createFileWatch } from '../workspace/file-watch.ts'
import { baselineOf, prepareWorkspace } from '../workspace/prepare.ts'
import { openStorage, type Workspace, workspaceOf } from '../workspace/storage.ts'
import { followFile, parsePosition } from './follow-file.ts'

const LOG = Buffer.from('aä😀 end')
const LONG_GONE = { pid: 1, startTicks: '' }
let root: string
let workspace: Workspace

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'longshore-follow-file-'))
  workspace = workspaceOf(await openStorage(root), record('').task.id)
  await prepareWorkspace(workspace)
})
afterAll(() => rm(root, { recursive: true, force: true }))

/** Follows a log with these bytes, of which the first `mark` are told already. */
async function follow(bytes: Uint8Array, mark: number, exit: string): Promise<Recorded & { outcome: unknown }> {
  const folder = { path: workspace.control, prompt: '', log: join(workspace.control, 'log'), exit: join(workspace.control, 'exit') }
  await writeFile(folder.log, bytes)
  await writeFile(folder.exit, exit)
  const one = record('')
  const baseline = String(await baselineOf(workspace))
  const { outcome } = followFile({
    log: await open(folder.log), folder, leader: LONG_GONE, baseline, run: one.run,
    position: { execution: 'this one', bytes: mark, tree: baseline }, files: createFileWatch(workspace, SILENT), clean: (text) => text,
  })
  return { ...one, outcome: await outcome }
}

test('whoever goes on at any byte tells each character once, and sums up all of them', async () => {
  for (let mark = 0; mark <= LOG.length; mark += 1) {
    const before = await follow(LOG.subarray(0, mark), 0, '0\n')
    const after = await follow(LOG, mark, '0\n')
    expect(textOf(before.events) + textOf(after.events)).toBe(LOG.toString())
    expect(after.outcome).toMatchObject({ kind: 'completed', result: { output: LOG.toString() } })
  }
})

test('the position that goes with the last word is the end of the log', async () => {
  expect(parsePosition((await follow(LOG, 0, '0\n')).positions.at(-1))).toMatchObject({ execution: 'this one', bytes: LOG.length })
})

test.each([['0\n', 'completed'], ['3\n', 'agent_error'], ['137\n', 'agent_error'], ['', 'backend_lost'], ['0', 'backend_lost'], ['0\n0\n', 'backend_lost'], ['yes\n', 'backend_lost']])('the exit %j is %s', async (exit, end) => {
  const { outcome } = await follow(LOG, 0, exit)
  expect(outcome).toMatchObject(end === 'completed' ? { kind: end } : { kind: 'failed', failure: { code: end } })
})

test.each([undefined, '', '17', '{"container":"c","bytes":3,"tree":"t"}', '{"execution":"e","bytes":-1,"tree":"t"}'])('%j is no position', (text) => {
  expect(parsePosition(text)).toBeUndefined()
})

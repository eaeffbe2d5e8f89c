import { randomBytes } from 'node:crypto'
import { appendFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { openStorage, outputBytes, readOutput, type Storage, workspaceOf } from '@longshore/backends'
import { type ExecutionEvent, type OutputPart, SILENT, taskIdFrom } from '@longshore/contracts'
import { startRedis, type RedisServer, waitFor } from '@longshore/testkit'

import { createOutputRecorder, wordsOf } from './output-recorder.ts'
import { startStack, type TestStack } from './testing/stack.ts'

let server: RedisServer
let stack: TestStack
let storage: Storage
beforeAll(async () => {
  server = await startRedis({ aof: 'always' })
})
afterAll(() => server.stop())
beforeEach(async () => {
  stack = await startStack(server.url)
  storage = await openStorage(join(stack.root, 'storage'))
})
afterEach(() => stack.stop())

const KEEPING = { maxBytes: 64 * 1024 * 1024 }
const said = (text: string): ExecutionEvent => ({ type: 'task.output', payload: { text, stream: 'agent' } })
const newTask = () => ({ id: taskIdFrom(randomBytes(52)), claim: 1, attempt: 1 })

async function whole(id: string, parts: readonly OutputPart[] | undefined): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of readOutput(workspaceOf(storage, id), parts ?? [], storage.id, { start: 0, end: Infinity })) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

async function recorded(id: string): Promise<string> {
  return whole(id, (await stack.get(id)).output_parts)
}

describe('L-40: the full output of a task', () => {
  test('10 MB in one line are whole', async () => {
    await stack.worker({ keeping: KEEPING })
    const { id } = await stack.submit('head -c 10000000 /dev/zero | tr "\\0" x; echo; echo end')
    await stack.until(id, 'completed')
    const text = await recorded(id)
    expect(text.length).toBe(10_000_000 + '\nend\n'.length)
    expect(/^x+\nend\n$/.test(text)).toBe(true)
  })

  test('G5, G7: over the death of its worker nothing is lost and nothing is there twice', async () => {
    const doomed = await stack.workerProcess('doomed', { keeping: KEEPING })
    const { id } = await stack.submit('i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line-$i; sleep 0.1; done')
    await waitFor(async () => (await recorded(id)).includes('line-3\n'), { what: 'the task to say something' })
    doomed.kill('SIGKILL')
    await stack.worker({ name: 'heir', keeping: KEEPING })
    expect(await stack.until(id, 'completed')).toMatchObject({ attempt: 1, claim: 2 })
    expect(await recorded(id)).toBe(Array.from({ length: 60 }, (_, i) => `line-${i + 1}\n`).join(''))
    expect((await stack.get(id)).output_parts?.map(({ claim }) => claim)).toEqual([1, 2])
  })

  test('each attempt stands under its own line', async () => {
    await stack.worker({ keeping: KEEPING })
    const { id } = await stack.submit(`test -e ${stack.root}/begun && { echo two; exit 0; }; touch ${stack.root}/begun; echo one; exit 75`)
    await stack.until(id, 'completed')
    expect(await recorded(id)).toBe('one\n\n--- attempt 2 ---\ntwo\n')
  })

  test('G4: what a ghost writes behind what counts is not shown', async () => {
    const task = newTask()
    const recorder = createOutputRecorder({ storage, task, attempt: () => 1, maxBytes: 1_000, log: SILENT })
    const parts = await recorder.record([said('mine')])
    await appendFile(join(workspaceOf(storage, task.id).control, 'output', '1'), ' and more')
    expect(await whole(task.id, parts)).toBe('mine')
    await recorder.close()
    expect(await recorder.record([said('late')])).toBeUndefined()
  })

  test('beyond its limit it is cut, and says so', async () => {
    const task = newTask()
    const recorder = createOutputRecorder({ storage, task, attempt: () => 1, maxBytes: 6, log: SILENT })
    const parts = await recorder.record([said('12345678')])
    expect(parts).toMatchObject([{ bytes: 6, cut: 'quota' }])
    expect(await recorder.record([said('9')])).toBeUndefined()
    expect(await whole(task.id, parts)).toBe('123456')
    const heir = createOutputRecorder({ storage, task: { ...task, claim: 2, output_parts: [...parts ?? []] }, attempt: () => 1, maxBytes: 6, log: SILENT })
    expect(await heir.record([said('9')])).toBeUndefined()
  })

  test('a part that is missing keeps its place, and says so', async () => {
    const task = newTask()
    const recorder = createOutputRecorder({ storage, task, attempt: () => 1, maxBytes: 1_000, log: SILENT })
    const parts = await recorder.record([said('x'.repeat(200))]) ?? []
    const elsewhere = { claim: 0, attempt: 1, storage_id: 'another', bytes: 100 }
    const text = await whole(task.id, [elsewhere, ...parts])
    expect(text.slice(0, 100)).toContain('not on this storage')
    expect(text.slice(100)).toBe('x'.repeat(200))
    expect(outputBytes([elsewhere, ...parts])).toBe(300)
    await rm(join(workspaceOf(storage, task.id).control, 'output', '1'))
    expect((await whole(task.id, parts)).length).toBe(200)
  })

  test('what a tool put out is whole, also where the log has only the beginning', async () => {
    const all = `${'y'.repeat(100_000)}\n`
    expect(wordsOf([said('I look.'), { type: 'task.tool', whole: all, payload: { tool: 'bash', title: 'ls', status: 'completed', output: 'yyy…' } }])).toBe(`I look.\n[bash] ls\n${all}`)
  })

  test('a disk that takes nothing costs the full output, not the task', async () => {
    const task = newTask()
    const recorder = createOutputRecorder({ storage: { id: 'gone', root: join(stack.root, 'nowhere') }, task, attempt: () => 1, maxBytes: 1_000, log: SILENT })
    expect(await recorder.record([said('lost')])).toMatchObject([{ bytes: 0, cut: 'disk' }])
    expect(await readdir(stack.root)).not.toContain('nowhere')
  })
})

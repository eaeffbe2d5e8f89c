import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { keptKey, Manifest, openSharedDirectory, toLine } from '@longshore/blobs'
import { NewTask, type Task, type TaskId } from '@longshore/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayFixture, startGatewayFixture } from './gateway-fixture.ts'
import { callOk, callRefused, connectClient, type TestClient } from './mcp-clients.ts'

const TASK: TaskId = `task-${'e'.repeat(26)}`
const HOSTILE = '```\n# not a heading\n</script>\u001B[31m\r```\r| x'
let fixture: GatewayFixture
let alice: TestClient
let blobs: string
let claim: { taskId: TaskId; claim: number }

beforeAll(async () => {
  blobs = await mkdtemp(join(tmpdir(), 'longshore-export-'))
  fixture = await startGatewayFixture({ BLOBS_DIR: blobs })
  alice = await connectClient('1.x client', fixture.url, fixture.keys.alice)
  await fixture.ledger.submit(NewTask.parse({ id: TASK, agent_id: 'agent-alice', prompt: HOSTILE, title: '` # | <b>', mode: 'docker', observers: ['@ann:example.org'] }))
  const take = await fixture.ledger.take({ task_id: TASK, n: 1 }, 'w1')
  if (take.kind !== 'taken') throw new Error(take.reason)
  claim = { taskId: TASK, claim: take.task.claim }
  await fixture.ledger.append(claim, [
    { type: 'task.output', payload: { text: HOSTILE, stream: 'agent' } }, { type: 'task.tool', payload: { tool: 'bash', title: HOSTILE, status: 'completed', input: HOSTILE, output: HOSTILE } },
    ...Array.from({ length: 200 }, (_, n) => ({ type: 'task.output' as const, payload: { text: `line ${n}`, stream: 'agent' as const } })),
    { type: 'task.usage', payload: { input_tokens: 7, output_tokens: 1, reasoning_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, cost_micros: 5 } },
  ])
})
afterAll(async () => {
  await alice.close()
  await fixture.stop()
  await rm(blobs, { recursive: true })
})

const PATH = `/api/tasks/${TASK}/export`
const download = async (format: string) => fixture.request(`${PATH}?format=${format}`)
/** What a Markdown reader sees outside of code: fences are taken out as CommonMark ends them, then code on lines. */
function outside(markdown: string): string {
  const seen: string[] = []
  let fence: string | undefined
  for (const line of markdown.split(/\r\n|\n|\r/)) {
    const row = /^ {0,3}(`{3,})/.exec(line)?.[1]
    if (fence === undefined && row !== undefined) fence = row
    else if (fence !== undefined && row !== undefined && row.length >= fence.length && line.trim() === row) fence = undefined
    else if (fence === undefined) seen.push(line.replaceAll(/(?<!`)(`+)(?!`) .*? (?<!`)\1(?!`)/g, ''))
  }
  expect(fence).toBeUndefined()
  return seen.join('\n')
}

test('while it runs, without any worker that answers: all there is, and what is missing is named', async () => {
  const reply = await download('json')
  expect([reply.status, reply.headers.get('content-type'), reply.headers.get('content-disposition'), reply.headers.get('x-content-type-options')]).toEqual([200, 'application/json', `attachment; filename="${TASK}.json"`, 'nosniff'])
  const exported = await reply.json() as { events: { seq: number; type: string }[] }
  expect(exported).toMatchObject({ v: 1, prompt: HOSTILE, observers: ['@ann:example.org'], task: { task_id: TASK, status: 'running', spent: { tokens: 8, cost_micros: 5 } }, diff: { unavailable: expect.any(String) as string }, event_count: 205 })
  expect(exported.events.map(({ seq }) => seq)).toEqual(Array.from({ length: 205 }, (_, n) => n + 1))
})

test('G14: in Markdown nothing that others wrote is read as Markdown or obeyed by a terminal', async () => {
  const reply = await download('markdown')
  expect([reply.headers.get('content-type'), reply.headers.get('content-disposition')]).toEqual(['text/markdown; charset=utf-8', `attachment; filename="${TASK}.md"`])
  const markdown = await reply.text()
  expect(markdown).not.toMatch(/[^\P{Cc}\n\t]/u)
  expect(markdown.match(/# not a heading/g)?.length).toBeGreaterThanOrEqual(4)
  const seen = outside(markdown)
  expect(seen).not.toMatch(/not a heading|script|<b>|line 7|[|]/)
  expect(seen.match(/^#+ .*$/gm)).toEqual(['# Task ', '## Prompt', '## Log', '## Changes', '## More'])
  expect(seen).toContain('Not available: ')
})

test('over MCP the beginning, as long as it may be, and where all of it is', async () => {
  const short = await callOk(alice, 'export_task', { task_id: TASK, format: 'markdown', max_bytes: 1_024 })
  expect(short).toMatchObject({ truncated: true, filename: `${TASK}.md`, path: `${PATH}?format=markdown` })
  expect(Buffer.byteLength(String(short['content']))).toBeLessThanOrEqual(1_024)
  const { content, truncated } = await callOk(alice, 'export_task', { task_id: TASK })
  expect(truncated).toBe(false)
  expect(JSON.parse(String(content))).toMatchObject({ event_count: 205 })
})

test('after its end with the patch that was kept, which is cut where it is too long, in clear words', async () => {
  await fixture.ledger.end(claim, { state: 'completed', payload: { result: { output: HOSTILE, output_truncated: false, files_changed: 3 } } })
  await keepDiff([`+${HOSTILE}\n`, `+${'x'.repeat(1024 * 1024)}\n`, '+more\n'])
  const exported = await (await download('json')).json() as { diff: { patch: string } }
  expect(exported).toMatchObject({ task: { status: 'completed' }, diff: { truncated: true, files_total: 3, files_shown: 1, whole: `/api/tasks/${TASK}/diff` } })
  expect(exported.diff.patch).toBe(`+${HOSTILE}\n`)
  const seen = outside(await (await download('markdown')).text())
  expect(seen).toContain('**The patch is cut**: it shows 1 of 3 files.')
  expect(seen).not.toMatch(/not a heading/)
})

async function keepDiff(patches: string[]): Promise<void> {
  const store = openSharedDirectory(blobs)
  async function* bytes(text: string) { yield Buffer.from(text) }
  const blob = await store.put(keptKey(TASK, 'e1', 'diff'), bytes(patches.map((patch, n) => toLine({ path: `f${n}`, change: 'added', patch }).toString()).join('')))
  await store.put(keptKey(TASK, 'e1', 'manifest'), bytes(JSON.stringify(Manifest.parse({ v: 1, task_id: TASK, edition: 'e1', blobs: { diff: blob }, notes: {}, tree: { entries: 0, truncated: false, left_out: 0, left_out_bytes: 0 }, diff: { files_total: 3, truncated: false } }))))
  await fixture.ledger.saveKept(TASK, { bytes: 1, edition: 'e1' })
}

test('an unknown format is refused by its field; another\'s task as one that is not there (G11)', async () => {
  expect(await callRefused(alice, 'export_task', { task_id: TASK, format: 'pdf' })).toMatchObject({ code: 'invalid_input', field: 'format', message: expect.stringContaining('json or markdown') as string })
  const [foreign, unknown] = await Promise.all([TASK, `task-${'0'.repeat(26)}`].map(async (id: Task['id']) => (await (await fixture.request(`/api/tasks/${id}/export`, { key: fixture.keys.bob })).text()).replaceAll(id, 'T')))
  expect(foreign).toBe(unknown)
})

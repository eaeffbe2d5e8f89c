import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GatewayProcess, startGateway } from '../testing/gateway-process.ts'
import { longshore } from '../testing/run-longshore.ts'

let gateway: GatewayProcess
let folder: string
beforeAll(async () => {
  gateway = await startGateway()
  folder = await mkdtemp(join(tmpdir(), 'longshore-cli-export-'))
})
afterAll(async () => {
  await gateway.stop()
  await rm(folder, { recursive: true })
})

const run = (...args: string[]) => longshore(args, gateway.env)
const submit = async (prompt: string) => /^task-[0-9a-z]{26}/.exec((await run('submit', prompt)).said)?.[0] ?? ''

test('a task is exported, to a terminal without anything that it obeys, to a file as it is', async () => {
  const id = await submit('Tidy \u009B31mup \u202Ewith ```fences')
  const shown = await run('export', id)
  expect(shown).toMatchObject({ code: 0, complained: '' })
  expect(shown.said).not.toMatch(/[\u009B\u202E]/)
  expect(JSON.parse(shown.said)).toMatchObject({ v: 1, task: { task_id: id }, event_count: 1 })
  const file = join(folder, 'task.json')
  expect(await run('export', id, '-o', file)).toMatchObject({ code: 0, said: '' })
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ prompt: 'Tidy \u009B31mup \u202Ewith ```fences' })
  expect((await run('export', id, '--format', 'markdown')).said).toMatch(/^# Task `{4} Tidy 31mup with ```fences `{4}\n[^]*\n````\nTidy .31mup .with ```fences\n````\n/)
  expect(await run('export', id, '--format', 'pdf')).toMatchObject({ code: 1, complained: expect.stringContaining('--format: got "pdf", allowed: json, markdown.') as string })
})

test('the conversation of a task that is over is archived and shown', async () => {
  const id = await submit('Tidy up')
  expect(await run('archive-conversation', id)).toMatchObject({ code: 1, complained: expect.stringContaining('(not_supported)') as string })
  await run('cancel', id)
  expect((await run('archive-conversation', id, '--summary', 'nothing came of it')).said).toMatch(/^3 messages, archived 2\S+Z\. Read them: longshore conversation task-/)
  expect((await run('archive-conversation', id)).said).toMatch(/ \(before\)\. /)
  expect(JSON.parse((await run('conversation', id)).said)).toMatchObject({ summary: 'nothing came of it', message_count: 3 })
})

test('observers are added, shown and removed', async () => {
  const id = await submit('Tidy up')
  expect((await run('observers', 'list', id)).said).toBe('Nobody watches this task.\n')
  expect((await run('observers', 'add', id, '@ann:example.org', '--write')).said).toMatch(/^@ann:example\.org {2}human {2}writes {2}since 2.* by operator:key-\S+\n$/)
  expect(await run('observers', 'add', id, 'ann')).toMatchObject({ code: 1, complained: expect.stringContaining('observer_id: an observer is a Matrix user id') as string })
  expect(JSON.parse((await run('observers', 'remove', id, '@ann:example.org', '--json')).said)).toMatchObject({ outcome: 'removed', total: 0 })
})

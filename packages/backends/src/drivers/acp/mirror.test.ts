import { TaskFailure } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { record, type Recorded, successorOf, textOf } from '../../fixtures/record.ts'
import { redactor } from '../../text.ts'
import type { FileWatch } from '../../workspace/file-watch.ts'
import { driveAcp } from './drive.ts'
import { createLines } from './lines.ts'
import { type AcpMirror, createAcpMirror, parseAcpPosition, positionFor } from './mirror.ts'
import type { AgentPipe } from './pipe.ts'
import { createReader } from './read.ts'

const NO_FILES: FileWatch = { hint: () => {}, dueInMs: () => undefined, scan: (tree) => Promise.resolve({ events: [], tree }), count: () => Promise.resolve(0) }
const clean = redactor(['sk-a-long-secret'])

const words = (text: string): object => ({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's', update: { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } } } })
const mirrorFor = ({ task, run }: Recorded): AcpMirror =>
  createAcpMirror({ baseline: 't', isResumed: false, run, files: NO_FILES, clean, position: positionFor('one', parseAcpPosition(task.position), 't', true) })
async function hear(mirror: AcpMirror, pieces: readonly string[]): Promise<void> {
  for (const [i, piece] of pieces.entries()) {
    mirror.take(words(piece), i + 1)
    await mirror.flush()
  }
}

test('G14, G5: a secret that an agent says in several messages is in no event, nor in all together, whenever its worker dies', async () => {
  const pieces = ['the key ', 'is sk', '-a-', 'long', '-secret', ', or s', 'o it seems']
  for (let heard = 0; heard <= pieces.length; heard += 1) {
    const one = record('x')
    await hear(mirrorFor(one), pieces.slice(0, heard))
    const next = successorOf(one)
    const mirror = mirrorFor(next)
    await hear(mirror, pieces)
    await mirror.end({})
    expect(textOf([...one.events, ...next.events])).toBe('the key is [redacted], or so it seems')
    expect((await mirror.result()).output).toBe('the key is [redacted], or so it seems')
  }
})

test('what a turn used is told once, also when its worker dies before the end is written down', async () => {
  const [one, answer] = [record('x'), { usage: { inputTokens: 7, outputTokens: 3 } }]
  await mirrorFor(one).end(answer)
  const next = successorOf(one)
  const mirror = mirrorFor(next)
  await mirror.end(answer)
  expect([...one.events, ...next.events]).toMatchObject([{ type: 'task.usage', payload: { input_tokens: 7 } }])
  expect(await mirror.result()).toMatchObject({ usage: { input_tokens: 7, output_tokens: 3 } })
})

test('a message that is too long to be read is not left out without a word', async () => {
  const one = record('x')
  const mirror = mirrorFor(one)
  const reader = createReader(mirror, false, { noted: () => {}, heard: () => {} })
  for (const line of createLines().push({ stream: 'stdout', text: `${'x'.repeat(9 * 1024 ** 2)}\n${JSON.stringify(words('on we go'))}\n`, end: 0 })) reader.take(line)
  await mirror.flush()
  expect(textOf(one.events)).toMatch(/is left out: it is longer than 8 MiB\.\non we go$/)
})

test('what an agent said before it ended is told, also when that shows first in that it takes no input any more', async () => {
  const one = record('x')
  const pipe: AgentPipe = {
    id: 'one',
    output: async function* () {
      await new Promise((resolve) => setTimeout(resolve, 100))
      yield [{ stream: 'stdout', text: `${JSON.stringify(words('last words'))}\n`, end: 0 }]
    },
    input: () => Promise.reject(new TaskFailure('backend_unavailable', 'it is gone')),
    ending: () => Promise.resolve({ failure: { code: 'agent_error', message: 'exit code 3' }, isAgents: true }),
  }
  const plan = { cwd: '/', prompt: 'x', onSession: () => Promise.resolve() }
  const outcome = await driveAcp({ pipe, plan, mirror: mirrorFor(one), run: one.run, layers: [], clean, patience: { stallMs: 60_000, stallToolMs: 60_000 } })
  expect(outcome).toMatchObject({ kind: 'failed', failure: { code: 'agent_error', message: 'exit code 3' }, result: { output: 'last words' } })
  expect(textOf(one.events)).toBe('last words')
})

import { Readable } from 'node:stream'
import { SILENT } from '@longshore/contracts'
import { expect, test } from 'vitest'
import { containerOutput } from './container-output.ts'
import type { Containers } from './containers.ts'

/** One frame of the engine's log. */
function said(text: string): Buffer {
  const header = Buffer.alloc(8)
  header[0] = 1
  header.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([header, Buffer.from(text)])
}

/** A container that has stopped, on an engine that lets the first reader go too early and then cannot say how it is, once. */
function stopped(lines: readonly string[]): Containers {
  let [reads, looks] = [0, 0]
  const logs = (): Promise<Readable> => Promise.resolve(Readable.from((++reads === 1 ? lines.slice(0, 1) : lines).map(said)))
  const state = (): ReturnType<Containers['state']> => {
    looks += 1
    if (looks === 1) return Promise.reject(new Error('the engine does not answer'))
    return Promise.resolve({ id: 'c1', isNew: false, isRunning: false, exitCode: 0, outOfMemory: false, address: undefined })
  }
  return { docker: { getContainer: () => ({ logs }) }, state } as unknown as Containers
}

test('L-40: an engine that cannot say for a moment whether a container runs costs none of its output', async () => {
  const lines = ['one\n', 'two\n', 'three\n']
  let text = ''
  for await (const pieces of containerOutput(stopped(lines), 'c1', 0, { signal: new AbortController().signal, log: SILENT })) text += pieces.map((piece) => piece.text).join('')
  expect(text).toBe(lines.join(''))
})

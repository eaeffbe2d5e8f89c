import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'

import { SILENT } from '@longshore/contracts'

import { type ProcessPort, stopAll, stopOnSignal, type Stoppable } from './shutdown.ts'

/** A process that does not end: its first exit code is told. */
function port(): ProcessPort & { signals: EventEmitter; exited: Promise<number> } {
  const signals = new EventEmitter()
  const exit = Promise.withResolvers<number>()
  return { signals, exited: exit.promise, on: (signal, listener) => signals.on(signal, listener), exit: (code) => exit.resolve(code) as never }
}

function parts(stopped: string[]): Stoppable[] {
  return [
    { name: 'fails', stop: () => Promise.reject(new Error('no')) },
    { name: 'hangs', patienceMs: 20, stop: () => new Promise(() => undefined) },
    { name: 'last', patienceMs: 5_000, stop: () => Promise.resolve(void stopped.push('last')) },
  ]
}

test('a part that fails or hangs does not keep the next from stopping', async () => {
  const stopped: string[] = []
  expect(await stopAll(parts(stopped), SILENT)).toBe(false)
  expect(stopped).toEqual(['last'])
})

test.each(['SIGINT', 'SIGTERM'])('G12: %s ends the process with 0, whatever hangs', async (signal) => {
  const process = port()
  stopOnSignal(process, parts([]), SILENT)
  process.signals.emit(signal)
  expect(await process.exited).toBe(0)
})

test('a second signal ends it at once, a defect with 1', async () => {
  const [twice, broken] = [port(), port()]
  stopOnSignal(twice, [{ name: 'hangs', stop: () => new Promise(() => undefined) }], SILENT)
  twice.signals.emit('SIGTERM')
  twice.signals.emit('SIGINT')
  expect(await twice.exited).toBe(130)
  stopOnSignal(broken, [], SILENT)
  broken.signals.emit('uncaughtException', new Error('a defect'))
  expect(await broken.exited).toBe(1)
})

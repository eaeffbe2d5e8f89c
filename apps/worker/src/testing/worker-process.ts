import process from 'node:process'

import { type Backend, MODES, SILENT } from '@longshore/contracts'
import { stopOnSignal } from '@longshore/runtime'

import { createShellBackend } from './shell-backend.ts'
import { type ChildConfig, startTestWorker, type Suspension } from './stack.ts'

/** A worker that is suspended at the worst moment: after it decided, before it acts. */
function suspending(backend: Backend, { suspendIn }: Suspension): Backend {
  if (suspendIn === undefined) return backend
  return { ...backend, [suspendIn]: (...args: Parameters<Backend['dispose']>) => {
    process.kill(process.pid, 'SIGSTOP')
    return backend[suspendIn](...args)
  } }
}

// Run by tests that kill a worker: see workerProcess in stack.ts.
const config = JSON.parse(process.argv[2] ?? '') as ChildConfig
const worker = await startTestWorker(config, { backends: MODES.map((mode) => suspending(createShellBackend(mode, config.root, config), config)) })
stopOnSignal(process, [{ name: 'worker', stop: worker.stop }], SILENT)
process.send?.('ready')

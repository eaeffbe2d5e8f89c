import process from 'node:process'

import { SILENT } from '@longshore/contracts'
import { stopOnSignal } from '@longshore/runtime'

import { type ChildConfig, startTestWorker } from './stack.ts'

// Run by tests that kill a worker: see workerProcess in stack.ts.
const config = JSON.parse(process.argv[2] ?? '') as ChildConfig
const worker = await startTestWorker(config)
stopOnSignal(process, [{ name: 'worker', stop: worker.stop }], SILENT)
process.send?.('ready')

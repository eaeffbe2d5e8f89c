import type { Task } from '@longshore/contracts'
import { record } from '../fixtures/record.ts'
import { prepareFor, type WorkspaceSource } from './task-workspace.ts'

const { source, task } = JSON.parse(process.argv[2] ?? '') as { source: WorkspaceSource; task: Task }
await prepareFor(source, task, record('x', task).run, undefined)

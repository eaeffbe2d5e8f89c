import { randomBytes } from 'node:crypto'

import { NewTask, SILENT, taskIdFrom, type TaskId } from '@longshore/contracts'
import { createLedger, type Ledger } from '@longshore/ledger'
import type { Redis } from 'ioredis'

export const DEPLOYMENT = 'bench'

/** A running task that says things. */
export interface LogWriter {
  taskId: TaskId
  ledger: Ledger
  append(texts: readonly string[]): Promise<number>
  /** Completes it. */
  end(output: string): Promise<unknown>
}

/** A task of the gateway's agent, with an owner. */
export async function openLog(redis: Redis): Promise<LogWriter> {
  const ledger = createLedger({ redis, deployment: DEPLOYMENT, log: SILENT })
  const { task } = await ledger.submit(NewTask.parse({ id: taskIdFrom(randomBytes(52)), agent_id: 'agent-bench', prompt: 'x', title: 'a task of the bench', mode: 'docker', timeout_ms: 3_600_000 }))
  const take = await ledger.take({ task_id: task.id, n: 1 }, 'bench')
  if (take.kind !== 'taken') throw new Error('not taken')
  const claim = { taskId: task.id, claim: take.task.claim }
  return {
    taskId: task.id, ledger,
    append: (texts) => ledger.append(claim, texts.map((text) => ({ type: 'task.output', payload: { text, stream: 'agent' } }))),
    end: (output) => ledger.end(claim, { state: 'completed', payload: { result: { output, output_truncated: false, files_changed: 0 } } }),
  }
}

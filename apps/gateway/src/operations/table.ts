import { answerTaskInput } from './answer-task-input.ts'
import { listDeadNotices, replayDeadNotices } from './dead-notices.ts'
import { executeTask } from './execute-task.ts'
import { getTaskArchive } from './get-task-archive.ts'
import { getTaskDiff } from './get-task-diff.ts'
import { getTaskFiles } from './get-task-files.ts'
import { getTaskHistory } from './get-task-history.ts'
import { getTaskOutput } from './get-task-output.ts'
import { getTaskStatus } from './get-task-status.ts'
import { getUsage } from './get-usage.ts'
import { health } from './health.ts'
import { listTasks } from './list-tasks.ts'
import type { Operation, Ports } from './operation.ts'
import { ping } from './ping.ts'
import { listPoisonedTasks, replayTask } from './poison.ts'
import { readTaskFile } from './read-task-file.ts'
import { getRollout, setRollout } from './rollout.ts'
import { sendTaskControl } from './send-task-control.ts'
import { sendTaskMessage } from './send-task-message.ts'
import { drainWorker, listWorkers } from './workers.ts'

/** Everything that the doors serve, in the order in which tools are listed. */
export function operationTable(ports: Ports): readonly Operation[] {
  return [
    executeTask, getTaskStatus, getTaskHistory, sendTaskMessage, sendTaskControl, answerTaskInput, getTaskFiles, readTaskFile, getTaskDiff, getTaskOutput, getTaskArchive, getUsage, ping, health, listTasks,
    getRollout, setRollout, listWorkers, drainWorker, listPoisonedTasks, replayTask, listDeadNotices, replayDeadNotices,
  ].map((make) => make(ports))
}

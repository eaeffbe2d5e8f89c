import { answerTaskInput } from './answer-task-input.ts'
import { archiveTaskConversation, getTaskConversation } from './archive-conversation.ts'
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
import { addTaskObserver, listTaskObservers, removeTaskObserver } from './observers.ts'
import { ping } from './ping.ts'
import { listPoisonedTasks, replayTask } from './poison.ts'
import { readTaskFile } from './read-task-file.ts'
import { exportTask } from './export-task.ts'
import { getRollout, setRollout } from './rollout.ts'
import { searchTasks } from './search-tasks.ts'
import { sendTaskControl } from './send-task-control.ts'
import { sendTaskMessage } from './send-task-message.ts'
import { drainWorker, listWorkers } from './workers.ts'

/** Everything that the doors serve, in the order in which tools are listed. */
export function operationTable(ports: Ports): readonly Operation[] {
  return [
    executeTask, getTaskStatus, getTaskHistory, sendTaskMessage, sendTaskControl, answerTaskInput, getTaskFiles, readTaskFile, getTaskDiff, getTaskOutput, getTaskArchive, getUsage, ping, health, listTasks,
    searchTasks, archiveTaskConversation, getTaskConversation, exportTask, addTaskObserver, removeTaskObserver, listTaskObservers,
    getRollout, setRollout, listWorkers, drainWorker, listPoisonedTasks, replayTask,
  ].map((make) => make(ports))
}

export type { AgentMessage, Backend, BackendCapabilities, BackendHealth, Execution, ExecutionEvent, ExecutionOutcome, Found, RunContext } from './backend.ts'
export { Control, Mail, MessageText, MessageType } from './control.ts'
export { type Admission, type Admitted, type Egress, type ModelProvider, narrower, Network, NETWORKS, Refusal, TASK_TOKEN } from './egress.ts'
export { ERROR_CODES, ErrorBody, ErrorCode, LongshoreError } from './errors.ts'
export {
  type AnyEvent, Cursor, EVENT_PAYLOADS, EVENT_TYPES, type EventDraft, type EventPayload, EventType, FileChange, formatCursor, parseCursor,
  parseEvent, QueuedReason, START, type TaskEvent, TaskResult, TimeLimit, type UnknownEvent,
} from './events.ts'
export { FAILURE_CODES, Failure, FailureCode, isWorthRetrying, TaskFailure, toFailure } from './failures.ts'
export { Handle } from './handle.ts'
export { AgentId, DeploymentId, EventId, TaskId, taskIdFrom } from './ids.ts'
export * from './limits.ts'
export { type Clock, type Log, SILENT } from './log.ts'
export { Isolation, ISOLATIONS, Mode, MODES } from './mode.ts'
export { END_STATES, EndState, isOver, mayBecome, TASK_STATES, TaskState, TRANSITIONS } from './state.ts'
export { IdempotencyKey, NewTask, Observer, ProfileName, Prompt, QueueTtlMs, Request, Task, TimeoutMs, titleOf } from './task.ts'
export { Budget, overBudget, type Spent, Usage, UsageLine } from './usage.ts'
export { type PendingTicket, Ticket, ticketId } from './ticket.ts'

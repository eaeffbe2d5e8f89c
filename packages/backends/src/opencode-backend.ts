import type { Backend, Found } from '@longshore/contracts'
import { attachSession } from './opencode/attach-session.ts'
import { endExecution } from './opencode/end-session.ts'
import { handleOf, type OpencodeBackendOptions } from './opencode/options.ts'
import { resumeSession } from './opencode/resume-session.ts'
import { startSession } from './opencode/start-session.ts'

/** Runs tasks on OpenCode servers, wherever `place` has them. */
export function createOpencodeBackend(options: OpencodeBackendOptions): Backend {
  const { place, mode } = options
  return {
    mode,
    capabilities: { isolation: place.isolation, adopt: true, resume: true, steer: true, ask: true, pause: true, usage: true, files: true },
    probe: () => place.probe(),
    engineId: () => place.engineId(),
    start: (task, run) => startSession(options, task, run),
    attach: (task, handle, run) => attachSession(options, task, handle, run),
    resume: (task, handle, run, note) => resumeSession(options, task, handle, run, note),
    checkpoint: (handle, run) => endExecution(options, handle, run, 'keep session'),
    list: () => list(options),
    dispose: (handle, run) => endExecution(options, handle, run, 'leave nothing'),
    close: () => place.close(),
  }
}

/** What is on a shared server names no engine: two workers may know it by two URLs, and neither's live sessions are elsewhere for the other. */
async function list(options: OpencodeBackendOptions): Promise<Found[]> {
  const { place } = options
  const [engineId, found] = await Promise.all([place.ownServer ? place.engineId() : undefined, place.list()])
  return found.map(({ taskId, createdAt, data }) => ({ taskId, createdAt, handle: handleOf(options, engineId, { ...data, task: taskId }) }))
}

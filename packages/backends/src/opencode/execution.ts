import { type Execution, type Handle, type RunContext, type Task, TaskFailure } from '@longshore/contracts'
import { cleanOutcome } from '../clean-events.ts'
import { createAsks } from '../drivers/opencode/asks.ts'
import { createSessionDriver } from '../drivers/opencode/drive.ts'
import { createLiveText } from '../drivers/opencode/live-text.ts'
import { DEFAULT_PATIENCE } from '../drivers/opencode/patience.ts'
import { parsePosition, type Position } from '../drivers/opencode/position.ts'
import { secretsOf } from '../drivers/opencode/server-settings.ts'
import { createSessionMirror } from '../drivers/opencode/session-mirror.ts'
import { redactor } from '../text.ts'
import { tellingRefusals } from '../places/way-out.ts'
import { createFileWatch } from '../workspace/file-watch.ts'
import { withGitResult } from '../workspace/git-result.ts'
import { baselineOf } from '../workspace/prepare.ts'
import { workspaceOf } from '../workspace/storage.ts'
import type { Connection } from './launch-server.ts'
import { mailData, type OpencodeBackendOptions, SessionAddress, toldOf } from './options.ts'

/** `fresh`: its session was made for it. `adopted`: its prompt was sent by somebody else, and what the stream said of it before is not known. */
type Origin = 'fresh' | 'adopted' | 'resumed'

/** Follows a session that has its prompt, or is about to get it, to the end. */
export async function follow(options: OpencodeBackendOptions, task: Task, handle: Handle, run: RunContext, { api, address, stream }: Connection, origin: Origin): Promise<Execution> {
  const workspace = workspaceOf(options.storage, task.id)
  const { session: sessionId, message: prompt } = SessionAddress.parse(handle.data)
  const baseline = await baselineOf(workspace)
  if (baseline === undefined) throw new TaskFailure('storage_unavailable', `the workspace ${workspace.directory} has lost its baseline`)
  const live = createLiveText(sessionId)
  const clean = redactor([...secretsOf(options.model, address.password), ...Object.values(options.offers?.env ?? {})])
  const files = createFileWatch(workspace, run.log, clean)
  const mirror = createSessionMirror({
    api, sessionId, prompt, baseline, files, live: live.texts,
    position: positionOf(task, baseline, origin),
    clean,
    emit: (events, position) => run.emit(events, position),
  })
  let current = handle
  const driver = createSessionDriver({
    patience: { ...DEFAULT_PATIENCE, ...options.patience },
    api, sessionId, prompt, mirror, asks: createAsks(api, sessionId, clean, run), live, run, scanDueInMs: files.dueInMs, wasHeard: origin !== 'adopted', autopsy: () => options.place.autopsy(handle.data),
    told: toldOf(handle),
    keepTold: async (told) => {
      const next = { ...handle, data: { ...handle.data, ...mailData(told) } }
      await run.onHandle(next)
      current = next
    },
  })
  stream.listen(driver)
  const over = driver.follow().then((end) => withGitResult(options, task, run, cleanOutcome(end, clean))).finally(() => stream.close())
  const outcome = tellingRefusals(options.egress, options.place.admitted?.(handle.data), run, over)
  outcome.catch(() => {}) // whoever awaits it hears of it
  return { get handle() { return current }, outcome, result: () => mirror.result(), tell: driver.tell }
}

/** Parts belong to one session: those of an earlier attempt say nothing about a fresh one. The workspace is the task's. */
function positionOf(task: Task, baseline: string, origin: Origin): Position {
  const stored = parsePosition(task.position)
  if (stored !== undefined && origin !== 'fresh') return stored
  return { part: '', offset: null, tree: stored?.tree ?? baseline }
}

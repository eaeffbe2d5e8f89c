import { TaskFailure, TaskId } from '@longshore/contracts'
import { basename, dirname } from 'node:path'
import { allSessions, asCallFailure, sessionApi, statusOf } from '../drivers/opencode/session-api.ts'
import { choicesWithin, NO_OFFERS } from '../task-choices.ts'
import { type Storage, workspaceOf } from '../workspace/storage.ts'
import type { ServerPlace, Sighting } from './server-place.ts'

export interface RemotePlaceOptions {
  url: string
  username?: string
  password?: string
}

/** An OpenCode server that somebody else runs; it sees our storage at the same absolute path. Tasks share its process: `isolation` is `shared`. */
export function remotePlace({ url, username = 'opencode', password }: RemotePlaceOptions, storage: Storage): ServerPlace {
  const address = { url, username, password }
  return {
    isolation: 'shared',
    ownServer: false,
    probe: async () => {
      try {
        await sessionApi(address, '/').health()
        return { ok: true }
      } catch (error) {
        const status = statusOf(error)
        if (status === 401 || status === 403) return { ok: false, reason: `the OpenCode server at ${url} refuses the password; check OPENCODE_SERVER_PASSWORD` }
        return { ok: false, reason: `the OpenCode server at ${url} does not answer; is it running and reachable from here?` }
      }
    },
    engineId: () => Promise.resolve(url),
    reserve: () => ({ server: url }),
    start: (launch, reserved) => {
      choicesWithin(launch.task, NO_OFFERS, [])
      return Promise.resolve(reserved)
    },
    address: (data) => {
      if (data['server'] !== url) throw new TaskFailure('backend_unavailable', 'the session lives on another OpenCode server than the one this worker is set to')
      return Promise.resolve(address)
    },
    autopsy: () => Promise.resolve(undefined),
    remove: () => Promise.resolve(),
    list: async () => {
      const found = new Map<TaskId, Sighting>()
      for (const { directory, createdAt } of await allSessions(address).catch((error: unknown) => Promise.reject(asCallFailure(error, 'list its sessions')))) {
        const taskId = taskAt(storage, directory)
        if (taskId !== undefined) found.set(taskId, { taskId, createdAt: Math.min(createdAt, found.get(taskId)?.createdAt ?? Infinity), data: { server: url } })
      }
      return [...found.values()]
    },
    close: () => Promise.resolve(),
  }
}

/** Whose workspace a directory is; undefined: no task's of this storage, so that its sessions are somebody else's (G10). */
function taskAt(storage: Storage, directory: string): TaskId | undefined {
  const taskId = TaskId.safeParse(basename(dirname(directory))).data
  return taskId !== undefined && workspaceOf(storage, taskId).repo === directory ? taskId : undefined
}

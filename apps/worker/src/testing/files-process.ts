import process from 'node:process'

import { openStorage, prepareWorkspace, workspaceOf } from '@longshore/backends'
import { SILENT, TaskId } from '@longshore/contracts'
import { createFilesSecret, createHeartbeats } from '@longshore/queue'
import { connectRedis, keepRounds } from '@longshore/runtime'
import { z } from 'zod'

import { openFilesDoor } from '../files-door.ts'

// What a worker is to whoever reads files, without the backends: a storage, a door, a heartbeat. Run by the gateway's tests, which are of another app.
const { redisUrl, deployment, root, name, task } = z.object({ redisUrl: z.string(), deployment: z.string(), root: z.string(), name: z.string(), task: TaskId }).parse(JSON.parse(process.argv[2] ?? ''))
const redis = connectRedis(redisUrl, 'background', SILENT)
const storage = await openStorage(root)
await prepareWorkspace(workspaceOf(storage, task))
const door = await openFilesDoor({ host: '127.0.0.1', port: 0, hostname: 'here', storage, secret: createFilesSecret(redis, deployment), log: SILENT })
const { beat } = createHeartbeats(redis, deployment)
keepRounds({ everyMs: 5_000, log: SILENT, failing: 'no heartbeat', round: async () => {
  await beat({ v: 1, name, host: 'here', version: '0', started_at: 0, slots: 1, running: 0, draining: false, storage_id: storage.id, ...(door.url === undefined ? {} : { files_url: door.url }), modes: [] })
  process.send?.({ storage_id: storage.id })
} })
process.on('disconnect', () => process.exit(0))

import { listFiles } from './list-files.ts'
import type { Workspace } from './storage.ts'

// A worker that looks at a workspace, for tests that kill it meanwhile.
await listFiles(JSON.parse(process.argv[2] ?? '') as Workspace, { limit: 10 }, new AbortController().signal)

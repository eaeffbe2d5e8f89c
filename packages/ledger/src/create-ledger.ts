import type { Redis } from 'ioredis'

import type { Log } from '@longshore/contracts'

import { namedWorkspaces } from './allotments.ts'
import { auditQueries } from './audit.ts'
import { type Keys, keysOf } from './keys.ts'
import { inputs } from './inputs.ts'
import { fleet } from './fleet.ts'
import type { Ledger } from './ledger.ts'
import { retention } from './retention.ts'
import { keeping } from './keeping.ts'
import { createMemoryGuard } from './memory-guard.ts'
import { ownerWrites } from './owner-writes.ts'
import { queries } from './queries.ts'
import { archiving } from './archiving.ts'
import { watching } from './watching.ts'
import { runScript, type Script } from './script.ts'
import { indexing } from './index-older.ts'
import { search } from './search.ts'
import { submission } from './submission.ts'
import { usageQueries } from './usage.ts'
import { unownedWrites } from './unowned-writes.ts'

export interface LedgerOptions {
  /** A `caller` connection for doors, a `background` one for loops (see runtime). The ledger does not close it. */
  redis: Redis
  deployment: string
  log: Log
}

/** What the parts of the ledger share. */
export interface LedgerContext {
  redis: Redis
  keys: Keys
  log: Log
  run(script: Script, ...args: (string | number)[]): Promise<unknown>
}

/** The ledger of one deployment on one Redis connection. */
export function createLedger({ redis, deployment, log }: LedgerOptions): Ledger {
  const keys = keysOf(deployment)
  const context: LedgerContext = { redis, keys, log, run: (script, ...args) => runScript(redis, script, keys.prefix, args) }
  const guard = createMemoryGuard(redis, log)
  return { ...submission(context, guard), ...queries(context), ...fleet(context), ...usageQueries(context), ...ownerWrites(context), ...unownedWrites(context), ...inputs(context), ...keeping(context), ...namedWorkspaces(context), ...search(context), ...indexing(context), ...watching(context), ...archiving(context), ...retention(context), ...auditQueries(context) }
}

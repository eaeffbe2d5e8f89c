import { LongshoreError, type NewTask } from '@longshore/contracts'

import type { LedgerContext } from './create-ledger.ts'
import type { Ledger, SubmitLimits } from './ledger.ts'
import { script } from './script.ts'

/** A file's name takes room, too, however little is in it. */
const BYTES_PER_NAME = 1_024
/** How many of an agent's tasks a submit that finds no room looks at: what an older build ended gave nothing back. */
const LOOKED_AT = 500

/**
 * Lua: what one agent may have at a time of what lies on disks. `allot` before a submit is accepted, answers which limit is reached and by how much; `take` when it is.
 * ARGV of both: task id, agent, bytes of files or '', most of them or '', workspace's name or '', most of them or '', ms after which an unused one does not count.
 */
export const ALLOT = `
local function allot(agent, bytes, mostBytes, name, mostNames, idle, at)
  local sent, names = P .. 'sent:' .. agent, P .. 'names:' .. agent
  if bytes ~= '' and mostBytes ~= '' then
    local held = tonumber(redis.call('HGET', sent, 'all')) or 0
    if held + bytes > tonumber(mostBytes) then
      for _, id in ipairs(redis.call('HRANDFIELD', sent, ${LOOKED_AT})) do
        local state = id ~= 'all' and redis.call('HGET', taskKey(id), 'state')
        if id ~= 'all' and (not state or over(state)) then held = giveBack(sent, id) end
      end
    end
    if held + bytes > tonumber(mostBytes) then return { 'files', held } end
  end
  if name ~= '' and mostNames ~= '' and not redis.call('ZSCORE', names, name) then
    redis.call('ZREMRANGEBYSCORE', names, '-inf', int(at - idle))
    if redis.call('ZCARD', names) >= tonumber(mostNames) then return { 'workspaces', redis.call('ZCARD', names) } end
  end
end
local function takeAllotted(id, agent, bytes, name, at)
  if bytes ~= '' then
    redis.call('HSET', P .. 'sent:' .. agent, id, bytes)
    redis.call('HINCRBY', P .. 'sent:' .. agent, 'all', bytes)
  end
  if name ~= '' then redis.call('ZADD', P .. 'names:' .. agent, int(at), name) end
end
`

/** ARGV: agent, name, ms. Whether nobody has or awaits it, and nobody used it for so long: then its name is free, and whoever uses it next finds nothing. */
const FORGET_WORKSPACE = script(`
local agent, name, idle = unpack(ARGV)
local line, names = P .. 'line:' .. agent .. ':' .. name, P .. 'names:' .. agent
if firstIn(line) then return 0 end
local used = redis.call('ZSCORE', names, name)
if used and used + idle > now() then return 0 end
redis.call('ZREM', names, name)
redis.call('HDEL', P .. 'homes', line)
return 1
`)

export function namedWorkspaces({ run }: LedgerContext): Pick<Ledger, 'forgetWorkspace'> {
  return { forgetWorkspace: async (agentId, name, idleMs) => (await run(FORGET_WORKSPACE, agentId, name, idleMs)) === 1 }
}

/** What ALLOT wants to know of a submit. */
export function allotmentOf({ workspace }: NewTask, { sentBytes, workspaces }: SubmitLimits): (string | number)[] {
  const files = workspace?.files
  return [files === undefined ? '' : files.bytes + files.count * BYTES_PER_NAME, sentBytes ?? '', workspace?.name ?? '', workspaces?.most ?? '', workspaces?.idleMs ?? '']
}

export function noRoomForFiles({ agent_id: agent, workspace }: NewTask, held: number, { sentBytes = 0 }: SubmitLimits): LongshoreError {
  return new LongshoreError('overloaded', `workspace.files: got ${workspace?.files?.bytes ?? 0} bytes, and the files of ${agent}'s tasks that are not over have ${held} already (with ${BYTES_PER_NAME} for each name); allowed: ${sentBytes} together`, {
    field: 'workspace.files', next: 'Submit it when some of these tasks are over, put the files into a repository, or ask the operator (AGENT_SENT_BYTES).',
  })
}

export function noRoomForWorkspace({ agent_id: agent, workspace }: NewTask, { workspaces }: SubmitLimits): LongshoreError {
  return new LongshoreError('overloaded', `workspace.name: got ${JSON.stringify(workspace?.name)}, and ${agent} has as many named workspaces as are allowed: ${workspaces?.most ?? 0}`, {
    field: 'workspace.name', next: 'Use one of them, wait until one was not used for so long that it is removed (WORKSPACE_NAMED_RETENTION_DAYS), or ask the operator (AGENT_NAMED_WORKSPACES).',
  })
}

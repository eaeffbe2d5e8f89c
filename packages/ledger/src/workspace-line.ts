/** Lua: tasks of one named workspace stand in line: the first has it until it is over and nothing of it is left. */
export const LINE = `
local NEVER = 9000000000000000
local function lineOf(t)
  local workspace = string.find(t.brief, '"workspace":{', 1, true) and brief(t).workspace
  return workspace and workspace.name and P .. 'line:' .. brief(t).agent_id .. ':' .. workspace.name
end
-- what a task left is put away before the next one changes it; nobody waits for long for somebody who does that
local function isBeingKept(id)
  local since = redis.call('ZSCORE', P .. 'keeps', id)
  if not since then return false end
  return now() < since + 10000 or redis.call('EXISTS', P .. 'lease:keep:' .. id) == 1
end
-- an execution's own watchdog ends it a little after its time is over: what a place that is gone may have left holds nobody up for longer
local function isLeft(id)
  local since = redis.call('ZSCORE', P .. 'debts', id)
  if not since then return false end
  local b = redis.call('HGET', taskKey(id), 'brief')
  return now() < since + (b and cjson.decode(b).timeout_ms or 0) + 60000
end
local function firstIn(line, own)
  while true do
    local id = redis.call('LINDEX', line, 0)
    if not id or id == own then return id end
    local state = redis.call('HGET', taskKey(id), 'state')
    if state and not over(state) or isLeft(id) or isBeingKept(id) then return id end
    redis.call('LPOP', line)
  end
end
local function waits(t)
  local line = lineOf(t)
  return line and firstIn(line, t.id) ~= t.id
end
local function callNext(t)
  local line = lineOf(t)
  local id = line and firstIn(line)
  local member = id and id .. '-' .. (redis.call('HGET', taskKey(id), 'ticket') or '')
  if member and redis.call('ZSCORE', P .. 'pending', member) == int(NEVER) then redis.call('ZADD', P .. 'pending', int(now()), member) end
end
`

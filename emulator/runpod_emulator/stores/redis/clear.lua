-- Forgets the jobs and counts of an endpoint in one step. The records themselves are deleted afterwards, piece by piece:
-- without their place in the list of all jobs they are not found any more.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: whether others are told ("" for no), whether deliveries are
-- forgotten too ("" for no), milliseconds that keys outlive the last write, and the server that forgets all endpoints at
-- once ("" where it is this one alone).
-- Returns {number of the write, key with the ids of the jobs, records of those that ran}.
local base, keep = KEYS[1], ARGV[3]
local running = {}
for _, id in ipairs(redis.call('SMEMBERS', base .. ':running')) do
  local record = redis.call('HGET', base .. ':job:' .. id, 'r')
  running[#running + 1] = record or nil
end
local writes = tonumber(redis.call('HGET', base .. ':counts', 'writes') or 0) + 1
local news = {'dropped', '1'}  -- of which no listener hears: but what other servers know of the endpoint is old now
if ARGV[1] ~= '' then news = {'clear', '[' .. table.concat(running, ',') .. ']', 'by', ARGV[4]} end
redis.call('XADD', base .. ':news', writes .. '-0', unpack(news))
redis.call('PEXPIRE', base .. ':news', keep)
local gone = base .. ':gone:' .. writes
if redis.call('EXISTS', base .. ':all') == 1 then
  redis.call('RENAME', base .. ':all', gone)
  redis.call('PEXPIRE', gone, keep)
end
for _, owner in ipairs(redis.call('ZRANGE', base .. ':owners', 0, -1)) do redis.call('UNLINK', base .. ':held:' .. owner) end
for _, name in ipairs({'queue', 'held', 'due', 'running', 'owners', 'counts'}) do redis.call('UNLINK', base .. ':' .. name) end
if ARGV[2] ~= '' then
  for _, name in ipairs({'owes', 'owed', 'bodies', 'leases'}) do redis.call('UNLINK', base .. ':' .. name) end
end
redis.call('HSET', base .. ':counts', 'writes', writes)
redis.call('PEXPIRE', base .. ':counts', keep)
return {writes, gone, running}

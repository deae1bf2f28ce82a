-- Reads one job in one step.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: the job, the version that is known ("" for none), and
-- whether its unread chunks are wanted ("" for no).
-- Returns {version, chunks taken, chunks}, and behind that the record and its texts, if the version is another; nil
-- for a job that there is not.
local base, id = KEYS[1], ARGV[1]
local job = base .. ':job:' .. id
if not redis.call('ZSCORE', base .. ':all', id) then return nil end
local fields = redis.call('HMGET', job, 'v', 't', 'r')
if not fields[1] then return nil end

local function text(field)
  return redis.call('HGET', job, field) or redis.call('GET', job .. ':' .. field)
end

local chunks = {}
if ARGV[3] ~= '' then chunks = redis.call('LRANGE', job .. ':chunks', 0, -1) end
if fields[1] == ARGV[2] then return {fields[1], fields[2] or '0', chunks} end
return {fields[1], fields[2] or '0', chunks, fields[3], text('i'), text('o'), text('s')}

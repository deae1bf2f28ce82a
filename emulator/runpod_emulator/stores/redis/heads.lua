-- Reads the first jobs of the queue. One whose record has expired by itself, because no server was there to see to it,
-- is taken out of it.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: how many to pass over, and how many to read at most.
-- Returns {counts, {id, version, record, input, output, s3Config}, ...}.
local base, from, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {redis.call('HGETALL', base .. ':counts')}

local function text(job, field)
  return redis.call('HGET', job, field) or redis.call('GET', job .. ':' .. field)
end

local missing
repeat
  missing = false
  local start = from + #found - 1
  for _, id in ipairs(redis.call('ZRANGE', base .. ':queue', start, start + most - #found)) do
    local job = base .. ':job:' .. id
    local fields = redis.call('HMGET', job, 'v', 'r')
    if fields[1] then
      found[#found + 1] = {id, fields[1], fields[2], text(job, 'i'), text(job, 'o'), text(job, 's')}
    else
      missing = true
      for _, name in ipairs({':queue', ':all', ':due'}) do redis.call('ZREM', base .. name, id) end
      redis.call('HINCRBY', base .. ':counts', 'queued', -1)
    end
  end
until not missing
return found

-- Gives out owed deliveries that are due, each to one sender for a time.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: now, how many at most, until when they are the sender's
-- ("" for good), and milliseconds that keys outlive the last write.
-- Returns {record, body, lease, since when it could be had} of each, the earliest first.
local base, given = KEYS[1], {}
local found = redis.call('ZRANGEBYSCORE', base .. ':owes', '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for n = 1, #found, 2 do
  local name = found[n]
  local record, body = redis.call('HGET', base .. ':owed', name), redis.call('HGET', base .. ':bodies', name)
  if record and body then
    if ARGV[3] ~= '' then
      redis.call('ZADD', base .. ':owes', ARGV[3], name)
    else
      redis.call('ZREM', base .. ':owes', name)
    end
    given[#given + 1] = {record, body, redis.call('HINCRBY', base .. ':leases', name, 1), found[n + 1]}
  else
    redis.call('ZREM', base .. ':owes', name)
  end
end
redis.call('PEXPIRE', base .. ':leases', ARGV[4], 'NX')
return given

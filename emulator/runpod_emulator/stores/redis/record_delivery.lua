-- Writes what became of a delivery, or leaves it to its sender for longer, if nobody else was given it since.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: the delivery's name, its lease, when a sender may have it
-- next ("" for one that is settled), its record ("" for one that is as it was), and milliseconds that keys outlive the
-- last write. Returns 1 if it was written, else 0.
local base, name, lease, due, record = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if (redis.call('HGET', base .. ':leases', name) or '0') ~= lease or redis.call('HEXISTS', base .. ':owed', name) == 0 then
  return 0
end
if due == '' then
  redis.call('ZREM', base .. ':owes', name)
  for _, kept in ipairs({':owed', ':bodies', ':leases'}) do redis.call('HDEL', base .. kept, name) end
else
  redis.call('ZADD', base .. ':owes', due, name)
  redis.call('PEXPIRE', base .. ':owes', ARGV[5], 'NX')
  if record ~= '' then redis.call('HSET', base .. ':owed', name, record) end
end
return 1

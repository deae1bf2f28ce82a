-- Notes which servers start workers of an endpoint, and which of them decides.
-- KEYS[1]: what the keys of the endpoint begin with.
-- ARGV: milliseconds that keys outlive the last write, the kind of workers, the server, the present, until when it does.
-- Returns {number of the write (0 for none), the server that decides ("" for none), the servers that start workers...}.
local base, keep, kind, owner, now, till = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local hosts, leader = base .. ':hosts:' .. kind, base .. ':leader:' .. kind
local counts, news = base .. ':counts', base .. ':news'
local changed
if tonumber(till) <= tonumber(now) then
  changed = redis.call('ZREM', hosts, owner) == 1
  if redis.call('GET', leader) == owner then redis.call('DEL', leader) end
else
  redis.call('ZREMRANGEBYSCORE', hosts, '-inf', now)
  changed = redis.call('ZADD', hosts, till, owner) == 1
  local decides = redis.call('GET', leader)
  if not decides or not redis.call('ZSCORE', hosts, decides) then redis.call('SET', leader, owner) end
  redis.call('PEXPIRE', hosts, keep)
  redis.call('PEXPIRE', leader, keep)
end
local writes = 0
if changed then
  writes = redis.call('HGET', counts, 'writes')
  if not writes then
    local last = redis.call('XREVRANGE', news, '+', '-', 'COUNT', 1)[1]
    writes = last and string.match(last[1], '%d+') or '0'
  end
  writes = tonumber(writes) + 1
  redis.call('XADD', news, 'MAXLEN', '~', 10000, writes .. '-0', 'crew', '', 'is', '')
  redis.call('HSET', counts, 'writes', writes)
  for _, key in ipairs({counts, news}) do redis.call('PEXPIRE', key, keep) end
end
return {writes, redis.call('GET', leader) or '', unpack(redis.call('ZRANGE', hosts, 0, -1))}

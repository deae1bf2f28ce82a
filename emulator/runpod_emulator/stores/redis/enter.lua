-- Counts a request of one row of an endpoint, and first those that have ended since.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: now, requests in a window, at once (0 for any number), length of a window in
-- milliseconds, whether windows begin at whole multiples of that ("" for no), the server, how many of its requests
-- have ended, 1 for a request that comes in, and the row.
-- Returns -1 if it was counted, -2 if there are too many at once, else in how many milliseconds there is room.
local key = KEYS[1] .. ':rate:' .. ARGV[9]
local now, rate, most, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local own, ended, comes = 'in:' .. ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local fields = redis.call('HMGET', key, 'opened', 'count', own)
local opened, count, inside = tonumber(fields[1] or -1), tonumber(fields[2] or 0), tonumber(fields[3] or 0)
if ended > 0 then
  inside = math.max(0, inside - ended)
  redis.call('HSET', key, own, inside)
end
if comes == 0 then return -1 end
if opened < 0 or now >= opened + window then
  opened, count = ARGV[5] ~= '' and now - now % window or now, 0
end
if count >= rate then return math.max(1, opened + window - now) end
if most > 0 then
  local all = 0
  local kept = redis.call('HGETALL', key)
  for n = 1, #kept, 2 do
    if string.sub(kept[n], 1, 3) == 'in:' then all = all + tonumber(kept[n + 1]) end
  end
  if all >= most then return -2 end
end
redis.call('HSET', key, 'opened', opened, 'count', count + 1, own, inside + 1)
redis.call('PEXPIRE', key, window + 3600000)
redis.call('SADD', KEYS[1] .. ':rows', ARGV[9])
redis.call('PEXPIRE', KEYS[1] .. ':rows', window + 3600000)
return -1

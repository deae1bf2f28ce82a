-- Changes an entry of an endpoint's workers, and tells of it, in one step.
-- KEYS[1]: what the keys of the endpoint begin with.
-- ARGV: milliseconds that keys outlive the last write, what to do, the worker, and of each:
--   join: owner, slots, "1" for one that is up, when it was heard, how many with an owner there may be ("" for any)
--   leave: the time since which it must be unheard ("" for any)
--   spare: how many must be up besides
--   free: the jobs, as JSON
-- Returns {number of the write (0 for none), "1" where it was done, the entry as it is now}.
local base, keep, what, worker = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local crew, counts, news = base .. ':crew', base .. ':counts', base .. ':news'

local function told(...)
  local writes = redis.call('HGET', counts, 'writes')
  if not writes then
    local last = redis.call('XREVRANGE', news, '+', '-', 'COUNT', 1)[1]
    writes = last and string.match(last[1], '%d+') or '0'
  end
  writes = tonumber(writes) + 1
  redis.call('XADD', news, 'MAXLEN', '~', 10000, writes .. '-0', 'crew', worker, ...)
  redis.call('HSET', counts, 'writes', writes)
  for _, key in ipairs({crew, counts, news}) do redis.call('PEXPIRE', key, keep) end
  return writes
end

local function numbers(is_up)
  local number = 0
  for _, entry in ipairs(redis.call('HVALS', crew)) do
    local owner, up = string.match(entry, '^(%S*) %d+ (%d)')
    if owner ~= '' and (up == '1' or not is_up) then number = number + 1 end
  end
  return number
end

local entry = redis.call('HGET', crew, worker)
local owner, slots, up, heard
if entry then owner, slots, up, heard = string.match(entry, '^(%S*) (%d+) (%d) (%d+)') end

if what == 'join' then
  if not entry and ARGV[8] ~= '' and numbers(false) >= tonumber(ARGV[8]) then return {0, '', ''} end
  local new = table.concat({ARGV[4], ARGV[5], ARGV[6], ARGV[7]}, ' ')
  local is_news = not entry or owner ~= ARGV[4] or slots ~= ARGV[5] or up ~= ARGV[6] or (heard == '0') ~= (ARGV[7] == '0')
  redis.call('HSET', crew, worker, new)
  return {is_news and told('is', new) or 0, '1', new}
end
if what == 'leave' then
  if not entry then return {0, '1', ''} end
  if ARGV[4] ~= '' and tonumber(heard) > tonumber(ARGV[4]) then return {0, '', entry} end
  redis.call('HDEL', crew, worker)
  return {told('is', ''), '1', ''}
end
if what == 'spare' then
  if not entry or up ~= '1' then return {0, '1', entry or ''} end
  if numbers(true) <= tonumber(ARGV[4]) then return {0, '', entry} end
  local new = table.concat({owner, slots, '0', heard}, ' ')
  redis.call('HSET', crew, worker, new)
  return {told('is', new), '1', new}
end
return {told('free', ARGV[4]), '1', entry or ''}

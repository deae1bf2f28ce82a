-- Owes a delivery once more, in place of one of its name.
-- KEYS[1]: what the keys of the endpoint begin with. ARGV: the delivery's name, its lease, when a sender may have it, its
-- record, its body, and milliseconds that keys outlive the last write.
local base, name = KEYS[1], ARGV[1]
redis.call('HSET', base .. ':bodies', name, ARGV[5])
redis.call('HSET', base .. ':owed', name, ARGV[4])
redis.call('HSET', base .. ':leases', name, ARGV[2])
redis.call('ZADD', base .. ':owes', ARGV[3], name)
for _, key in ipairs({':bodies', ':owed', ':leases', ':owes'}) do redis.call('PEXPIRE', base .. key, ARGV[6], 'NX') end

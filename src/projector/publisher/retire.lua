-- Leaves what an epoch that is over published a while to live.
--
-- KEYS  meta key of the family, then its documents
-- ARGV  lineage, version, seconds
-- Returns 1, or 0 where a newer version or another journal's is held.

if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then
  return 0
end
local held = redis.call('HMGET', KEYS[1], 'version', 'lineage')
if held[2] ~= ARGV[1] or (tonumber(held[1] or '') or 0) > tonumber(ARGV[2]) then
  return 0
end
local seconds = tonumber(ARGV[3])
for _, key in ipairs(KEYS) do
  local left = redis.call('TTL', key)
  if left == -1 or left > seconds then
    redis.call('EXPIRE', key, seconds)
  end
end
return 1

"""The Lua scripts that change ephemeral messages; each is atomic.

Keys of a queue: ``messages`` (hash: number to bytes), ``waiting`` (sorted set: number by the
time it is due; a due one by its priority, far below zero), ``priorities`` (hash:
number to priority, if it is not 0), ``taken`` (hash: number to its owner and the call by
which it was taken), ``owners`` (sorted set: owner by the end of its lease), ``calls`` (hash:
owner to the number of its newest call), ``crashes`` (hash: number to how many processes died
running it). Keys of the namespace: ``numbers``, and of dead messages ``dead`` (sorted set: number
by the time it died) and ``dead-messages`` (hash). All times are the server's, in milliseconds, so
that clocks of machines do not matter.

If a process dies, its messages are possible poison messages: they are in ``crashes``, and while
one runs, its holder in ``taken`` ends in ``!``. As long as no process dies there is no
``crashes``, and the only cost is one test for it.
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# For scripts that make messages available. Lower priorities run first. Messages of one priority are
# in the order in which they were put, because all numbers have the same length.
_READY = """
local function ready(waiting, number, priority)
  redis.call('ZADD', waiting, string.format('%.0f', -1e15 + (priority or 0)), number)
end
"""

# For scripts whose keys are: messages, waiting, taken, owners, calls, crashes, priorities.
_GIVE_BACK = f"""{_READY}
local wake = false
local function give_back(number)
  redis.call('HDEL', KEYS[3], number)
  ready(KEYS[2], number, redis.call('HGET', KEYS[7], number))
  wake = true
end
local function give_back_all(holder, died)
  local taken = redis.call('HGETALL', KEYS[3])
  for at = 1, #taken, 2 do
    if string.sub(taken[at + 1], 1, #holder) == holder then
      if died then
        local ran = string.sub(taken[at + 1], -1) == '!'
        redis.call('HINCRBY', KEYS[6], taken[at], ran and 1 or 0)
      end
      give_back(taken[at])
    end
  end
end
local function forget(owner, died)
  redis.call('ZREM', KEYS[4], owner)
  redis.call('HDEL', KEYS[5], owner)
  give_back_all(owner .. '#', died)
end
"""

# KEYS: messages, waiting, numbers, priorities. ARGV: data, delay, channel, wake-up, priority.
# Only the first message is announced: consumers were woken for an earlier one, or wake in time
# for it, and take messages until none is due.
PUT = f"""{_NOW}{_READY}
-- With the time in it no number comes twice, not even after Redis was emptied.
local number = string.format('%d%06d', now, redis.call('INCR', KEYS[3]) % 1000000)
redis.call('HSET', KEYS[1], number, ARGV[1])
if ARGV[5] ~= '0' then redis.call('HSET', KEYS[4], number, ARGV[5]) end
if tonumber(ARGV[2]) > 0 then
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), number)
else
  ready(KEYS[2], number, ARGV[5])
end
if redis.call('ZRANK', KEYS[2], number) == 0 then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
"""

# KEYS: messages, waiting, taken, owners, calls, crashes, priorities.
# ARGV: owner, number of this call, lease, most, stall (-1: leave others alone), prefix of
#   presence channels, channel, wake-up, count of done ones, numbers that are done, numbers that
#   are given back, or ``#CALL`` for all numbers of a call without an answer.
# Answers: whether the lease held until now, milliseconds until more may be due (-1: never),
#   numbers and crashes of possible poison messages, then numbers and data of all.
EXCHANGE = f"""{_NOW}{_GIVE_BACK}
local owner, call, lease, stall = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
-- A later call has overtaken this one, so its answer is not needed.
if call <= tonumber(redis.call('HGET', KEYS[5], owner) or 0) then return {{0, -1, {{}}}} end
local answer = {{redis.call('ZSCORE', KEYS[4], owner) and 1 or 0, -1, {{}}}}
redis.call('HSET', KEYS[5], owner, call)
redis.call('ZADD', KEYS[4], now + lease, owner)
local done = 9 + ARGV[9]
if done > 9 then
  -- Even if another owner has it now: the slow owner has completed it.
  redis.call('HDEL', KEYS[1], unpack(ARGV, 10, done))
  redis.call('HDEL', KEYS[3], unpack(ARGV, 10, done))
  redis.call('ZREM', KEYS[2], unpack(ARGV, 10, done))
  redis.call('HDEL', KEYS[7], unpack(ARGV, 10, done))
end
for place = done + 1, #ARGV do
  local number = ARGV[place]
  if string.sub(number, 1, 1) == '#' then
    give_back_all(owner .. number .. '#')
  else
    local holder = redis.call('HGET', KEYS[3], number)
    if holder and string.sub(holder, 1, #owner) == owner then give_back(number) end
  end
end
if stall >= 0 then
  local ended = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now - 1, 'WITHSCORES')
  for place = 1, #ended, 2 do
    local other = ended[place]
    -- An owner that is connected is frozen or holds the interpreter; another one has died.
    if now - ended[place + 1] >= stall
      or redis.call('PUBSUB', 'NUMSUB', ARGV[6] .. other)[2] == 0 then
      forget(other, true)
    end
  end
end
local suspects = redis.call('EXISTS', KEYS[6]) == 1
if suspects and done > 9 then redis.call('HDEL', KEYS[6], unpack(ARGV, 10, done)) end
for _, number in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], 0, now, 'LIMIT', 0, 1000)) do
  ready(KEYS[2], number, redis.call('HGET', KEYS[7], number))
end
local numbers = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(0', 'LIMIT', 0, ARGV[4])
if #numbers > 0 then
  redis.call('ZREM', KEYS[2], unpack(numbers))
  local data, taken = redis.call('HMGET', KEYS[1], unpack(numbers)), {{}}
  local holder = owner .. '#' .. ARGV[2] .. '#'
  for place, number in ipairs(numbers) do
    if data[place] then
      taken[#taken + 1], taken[#taken + 2] = number, holder
      answer[#answer + 1], answer[#answer + 2] = number, data[place]
    end
  end
  if #taken > 0 then redis.call('HSET', KEYS[3], unpack(taken)) end
  for place, crashes in ipairs(suspects and redis.call('HMGET', KEYS[6], unpack(numbers)) or {{}})
  do
    local list = answer[3]
    if crashes then list[#list + 1], list[#list + 2] = numbers[place], crashes end
  end
end
local due = tonumber(redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2])
if redis.call('HLEN', KEYS[3]) > 0 then
  local owners = redis.call('ZRANGE', KEYS[4], 0, 1, 'WITHSCORES')
  local ends = tonumber(owners[owners[1] == owner and 4 or 2])
  -- Check an owner again soon whose lease ended but who may be alive.
  if ends and ends < now then ends = now + lease / 4 end
  if ends and (not due or ends < due) then due = ends + 1 end
end
if due then answer[2] = math.max(0, math.floor(due - now)) end
if wake then redis.call('PUBLISH', ARGV[7], ARGV[8]) end
return answer
"""

# KEYS: taken, waiting, dead. ARGV: number, owner.
# Answers: 0 if others have or may have the message, or gave it up. If Redis was emptied and does
#   not know the message, no other process has it.
START = """
local holder = redis.call('HGET', KEYS[1], ARGV[1])
if not holder then
  local known = redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.call('ZSCORE', KEYS[3], ARGV[1])
  return known and 0 or 1
end
if string.sub(holder, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
if string.sub(holder, -1) ~= '!' then redis.call('HSET', KEYS[1], ARGV[1], holder .. '!') end
return 1
"""

# KEYS: messages, waiting, taken, owners, calls, crashes, priorities.
# ARGV: owner, channel, wake-up.
LEAVE = f"""{_NOW}{_GIVE_BACK}
forget(ARGV[1], false)
if wake then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
"""

# KEYS: messages, waiting, taken, crashes, dead, dead-messages, priorities.
# ARGV: number, header, most to keep.
MOVE_TO_DEAD = f"""{_NOW}
local data = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[7], ARGV[1])
if data then
  redis.call('ZADD', KEYS[5], now, ARGV[1])
  redis.call('HSET', KEYS[6], ARGV[1], ARGV[2] .. data)
  for _, old in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1 - ARGV[3])) do
    redis.call('ZREM', KEYS[5], old)
    redis.call('HDEL', KEYS[6], old)
  end
end
"""

# KEYS: messages, waiting, dead, dead-messages, priorities.
# ARGV: number, data, channel, wake-up, priority.
REVIVE = f"""{_READY}
if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[5] ~= '0' then redis.call('HSET', KEYS[5], ARGV[1], ARGV[5]) end
ready(KEYS[2], ARGV[1], ARGV[5])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
"""

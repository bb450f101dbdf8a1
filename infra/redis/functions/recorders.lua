--[[ The second part of the library, loaded as one text with chronicle.lua, whose rules and local names hold here: what the
recorders of the `eventsourcing` library need. ]]

local WHOLE_DIGITS_MAX = 15

-- KEYS: log, head, epoch, track, then for each aggregate its index list and its key of version 0, then the claim's key if
-- there is a claim. ARGV: the request's digest ('' without a claim), the tracking's name and position ('' without one), the
-- number of aggregates, then for each event, in the order of their positions, its aggregate's number and its record.
local function parsed_insert(keys, args)
  local insert = { digest = args[1], name = args[2], position = tonumber(args[3]), aggregates = {}, events = {} }
  local key, bytes = 5, 0
  for number = 1, tonumber(args[4]) do
    insert.aggregates[number] = { index = keys[key], zero = keys[key + 1], sequences = {} }
    key = key + 2
  end
  if insert.digest ~= '' then
    insert.claim = keys[key]
  end
  for arg = 5, #args, 2 do
    local event = { number = tonumber(args[arg]), record = args[arg + 1], version = version_of(args[arg + 1]) }
    event.aggregate = insert.aggregates[event.number]
    if not event.version or not event.aggregate then
      return nil, 'CHRONICLE_ARGUMENTS a record is too short, or of an aggregate that was not named'
    end
    bytes = bytes + #event.record
    insert.events[#insert.events + 1] = event
  end
  if #insert.events > INSERT_EVENTS_MAX or bytes > BYTES_MAX then
    return nil, limit_error(#insert.events, bytes)
  end
  return insert
end

-- The verdict on a tracking that is not above the present one, else nil.
local function tracked(track, name, position)
  local present = position and redis.call('HGET', track, name)
  if present and tonumber(present) >= position then
    return TRACKED .. ' ' .. present
  end
end

-- Whoever waits for a position is told; that this cannot be done is no reason to fail after the write.
local function announce(track, name, position)
  redis.pcall('PUBLISH', track, whole(position) .. ' ' .. name)
end

-- The verdict on an insert whose versions do not continue those of its aggregates, else nil. A new aggregate begins at
-- version 1, or at 0: then version 0 has a key of its own, so the length of an index list is always the last version.
local function version_conflict(insert)
  for _, aggregate in ipairs(insert.aggregates) do
    aggregate.last = redis.call('LLEN', aggregate.index)
    aggregate.new = aggregate.last == 0 and redis.call('GET', aggregate.zero) == false
  end
  for _, event in ipairs(insert.events) do
    local aggregate = event.aggregate
    if event.version ~= aggregate.last + 1 and not (event.version == 0 and aggregate.new) then
      return table.concat({ CONFLICT, event.number, aggregate.last, event.version }, ' ')
    end
    aggregate.last, aggregate.new = event.version, false
  end
end

-- One insert, whole or not at all: events of several aggregates, a tracking and a claim, each of them or not.
local function append(keys, args)
  local log, head, track = keys[1], keys[2], keys[4]
  local insert, problem = parsed_insert(keys, args)
  if not insert then
    return redis.error_reply(problem)
  end
  local state, unopened = opened(log, head, keys[3])
  if not state then
    return redis.error_reply(unopened)
  end
  local claim = insert.claim and redis.call('GET', insert.claim)
  if claim then
    return tostring(repeated(claim, insert.digest))
  end
  local refused = tracked(track, insert.name, insert.position) or version_conflict(insert)
  if refused then
    return refused
  end
  local last, latest = state.last, nil
  for _, event in ipairs(insert.events) do
    last, latest = last + 1, event
    redis.call('XADD', log, whole(last) .. '-' .. state.epoch, 'e', state.prefix .. event.record)
    if event.version == 0 then
      redis.call('SET', event.aggregate.zero, whole(last))
    else
      table.insert(event.aggregate.sequences, whole(last))
    end
  end
  for _, aggregate in ipairs(insert.aggregates) do
    if #aggregate.sequences > 0 then
      redis.call('RPUSH', aggregate.index, unpack(aggregate.sequences))
    end
  end
  if insert.position then
    redis.call('HSET', track, insert.name, whole(insert.position))
  end
  if insert.claim then
    claimed(insert.claim, insert.digest, latest.aggregate.index, last, state.epoch, latest.version)
  end
  if latest then
    redis.call('SET', head, whole(last))
  end
  if insert.position then
    announce(track, insert.name, insert.position)
  end
  return table.concat({ WRITTEN, whole(last), latest and latest.version or 0, state.epoch }, ' ')
end

local function is_whole(text)
  return #text <= WHOLE_DIGITS_MAX and string.match(text, '^-?%d+$') ~= nil
end

-- Whether all changes of hashes can be made. Only what cannot fail then is known here: HSET, HDEL and HINCRBY.
local function changes_problem(keys, args)
  local held = {}
  for number = 2, #keys do
    local arg = number * 3 - 3
    local change, field, value = args[arg], args[arg + 1], args[arg + 2]
    local kind = redis.call('TYPE', keys[number]).ok
    if kind ~= 'none' and kind ~= 'hash' then
      return 'CHRONICLE_ARGUMENTS a view is a hash, and this key is a ' .. kind
    end
    local place = keys[number] .. '\0' .. field
    if change == 'HINCRBY' then
      local present = held[place] or redis.call('HGET', keys[number], field) or '0'
      if not is_whole(present) or not is_whole(value) then
        return 'CHRONICLE_ARGUMENTS a counter must be a whole number of at most 15 digits'
      end
      value = whole(tonumber(present) + tonumber(value))
    elseif change == 'HDEL' then
      value = '0'
    elseif change ~= 'HSET' then
      return 'CHRONICLE_ARGUMENTS a change is HSET, HDEL or HINCRBY'
    end
    held[place] = value
  end
end

-- KEYS: track, then the hash of each change. ARGV: the tracking's name and position, then for each change its name, the
-- field and the value ('' for HDEL). Makes the changes if the tracking is above the present one.
local function track_changes(keys, args)
  local track, name, position = keys[1], args[1], tonumber(args[2])
  if #keys - 1 > EVENTS_MAX then
    return redis.error_reply('CHRONICLE_LIMIT ' .. (#keys - 1) .. ' changes in one call')
  end
  local refused = tracked(track, name, position)
  if refused then
    return refused
  end
  local problem = changes_problem(keys, args)
  if problem then
    return redis.error_reply(problem)
  end
  for number = 2, #keys do
    local arg = number * 3 - 3
    if args[arg] == 'HDEL' then
      redis.call('HDEL', keys[number], args[arg + 1])
    else
      redis.call(args[arg], keys[number], args[arg + 1], args[arg + 2])
    end
  end
  redis.call('HSET', track, name, whole(position))
  announce(track, name, position)
  return WRITTEN .. ' ' .. whole(position)
end

-- KEYS: a sorted set for each aggregate, of its records by their version. ARGV: for each record its aggregate's number and
-- the record. Versions may come in any order, each once.
local function keep_snapshots(keys, args)
  local seen, bytes = {}, 0
  for arg = 1, #args, 2 do
    local key, version = keys[tonumber(args[arg])], version_of(args[arg + 1])
    if not key or not version then
      return redis.error_reply('CHRONICLE_ARGUMENTS a record is too short, or of an aggregate that was not named')
    end
    local place = key .. '\0' .. version
    if seen[place] or redis.call('ZCOUNT', key, version, version) > 0 then
      return CONFLICT .. ' ' .. version
    end
    seen[place] = true
    bytes = bytes + #args[arg + 1]
  end
  if #args / 2 > INSERT_EVENTS_MAX or bytes > BYTES_MAX then
    return redis.error_reply(limit_error(#args / 2, bytes))
  end
  local prefix = stamp(0)
  for arg = 1, #args, 2 do
    redis.call('ZADD', keys[tonumber(args[arg])], version_of(args[arg + 1]), prefix .. args[arg + 1])
  end
  return WRITTEN .. ' ' .. #args / 2
end

redis.register_function('append_@VERSION@', append)
redis.register_function('track_@VERSION@', track_changes)
redis.register_function('keep_@VERSION@', keep_snapshots)

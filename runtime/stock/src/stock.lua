#!lua name=ticket_stock_v3
-- The fast gate in front of the ledger. One call is one atomic step.
--
-- armed[o] = epoch that THIS server process was seeded with, by the event's orders key. It lives only in the Lua state
-- of the process: empty after a restart (also with AOF or RDB), on a promoted replica and after FUNCTION LOAD REPLACE.
-- Whatever data lies around, an event that is not armed sells nothing.
--
-- Keys, all with the event's hash tag:
--   h  one per category: stock shard id -> units left; meta fields are letters:
--      e epoch, l units that one buyer may have (0 = no limit), x = no stock shard holds x units or more
--   o  order id -> record; meta field e = epoch
--   p  order id -> time, of orders that nobody decided yet
--   b  buyer -> units held and paid, over all categories
--   c  stock shard id -> adjustment|capacity that its count contains
-- A record: mark|category|shard|quantity|epoch|time|version|buyer. Mark R = has its units, V = void. The version is that of
-- the ledger's newest decision that was met here, 0 before the first: what an older one says is dropped. The buyer stands
-- last, because identity providers use '|' in their ids. Times are microseconds since 1970 by the caller's clock.
--
-- Law, per stock shard: count + units of the records with mark R = capacity. So units come back only with a record that
-- has them: an order that is not known here was never taken off a count.
--
-- Lua does not roll back: every function checks all that it was given before its first write.
local armed = {}
-- admitted[o] = { second, count }: fresh reservations of this second by this server's own clock.
local admitted = {}

-- Below this many units on the better of two stock shards all are looked at and the smallest that fits is taken: even
-- draining strands the last tickets.
local TAIL_UNITS = 8
local NUMBER_END = 9007199254740992   -- 2^53: numbers are doubles here
local BATCH_MAX = 1000                -- orders in one call: HMGET and HDEL take them from the Lua stack

local SOLD_OUT, WARMING_UP, OTHER_EPOCH, BUYER_LIMIT, NO_SHARD_FITS, TOO_FAST = -1, -2, -3, -4, -5, -6
local NOT_ARMED, STORE_NEWER, STORE_OLDER = -2, -3, -4

local function bad(what)
  return redis.error_reply('BADARG ' .. what)
end

-- The whole number that v spells in decimal digits without leading zeros (HINCRBY knows none), if low <= it < 2^53;
-- else nil.
local function whole(v, low)
  if v == '0' then return low == 0 and 0 or nil end
  if not v or #v > 16 or not string.find(v, '^[1-9]%d*$') then return nil end
  local n = tonumber(v)
  if n < low or n >= NUMBER_END then return nil end
  return n
end

local function is_order(v)
  return v and #v == 36 and string.find(v, '^[%x%-]+$')
end

local function is_buyer(v)
  return v and v ~= ''
end

-- The category that a counts key belongs to, or nil.
local function category_of(h)
  return h and string.match(h, '^{st:[%x%-]+}:([a-z0-9-]+):h$')
end

local function to_record(mark, category, shard, quantity, epoch, at, version, buyer)
  return mark .. '|' .. category .. '|' .. shard .. '|' .. quantity .. '|' .. epoch .. '|' .. at .. '|' .. version
    .. '|' .. buyer
end

-- mark, category, shard, quantity, epoch, time, version, buyer
local function of_record(r)
  return string.match(r, '^([RV])|([a-z0-9-]+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(.+)$')
end

-- Seeded in this life, and the data is still the one that was seeded.
local function is_armed(o)
  return armed[o] and redis.call('HGET', o, 'e') == armed[o]
end

-- nil if the category h stands at this epoch, else why not.
local function refusal(h, o, epoch)
  local e = armed[o]
  if not e or redis.call('HGET', h, 'e') ~= e then return NOT_ARMED end
  if e == epoch then return nil end
  return tonumber(e) > tonumber(epoch) and STORE_NEWER or STORE_OLDER
end

-- What is known of an order: { record, 1 if nobody decided it yet }, or nil.
local function known(o, p, id)
  local r = redis.call('HGET', o, id)
  return r and { r, redis.call('HEXISTS', p, id) }
end

local function give_to_buyer(b, buyer, units)
  redis.call('HINCRBY', b, buyer, units)
end

local function take_from_buyer(b, buyer, units)
  if redis.call('HINCRBY', b, buyer, '-' .. units) <= 0 then redis.call('HDEL', b, buyer) end
end

-- KEYS h o p b   ARGV epoch, order, quantity, two stock shards, time, admissions per second (0 = no limit), buyer
-- reply: integer > 0 the stock shard; array: the order is known already; integer < 0 see above
local function reserve(K, A)
  local H, O, P, B = K[1], K[2], K[3], K[4]
  local epoch, id, s, t, at, buyer = A[1], A[2], A[4], A[5], A[6], A[8]
  local q, rate, category = whole(A[3], 1), whole(A[7], 0), category_of(H)
  if #K ~= 4 or #A ~= 8 or not category then return bad('keys of reserve') end
  if not whole(epoch, 1) then return bad('epoch') end
  if not is_order(id) then return bad('order') end
  if not q then return bad('quantity') end
  if not whole(s, 1) or not whole(t, 1) then return bad('stock shard') end
  if not whole(at, 0) then return bad('time') end
  if not rate then return bad('admissions per second') end
  if not is_buyer(buyer) then return bad('buyer') end

  local e = armed[O]
  if e ~= epoch then return e and OTHER_EPOCH or WARMING_UP end
  local m = redis.call('HMGET', H, 'e', 'l', 'x', s, t)
  if m[1] ~= e then return WARMING_UP end   -- data gone (FLUSHALL, DEL) or replaced under us (resync)

  local limit, x, a, c = tonumber(m[2]), tonumber(m[3] or NUMBER_END), tonumber(m[4] or 0), tonumber(m[5] or 0)
  local takes_last = false
  if q >= x then
    a = 0                                   -- known since the last scan
  else
    if c > a then s, a = t, c end           -- power of two choices
    if a < q or a < TAIL_UNITS or a < 2 * q then
      local v, max, all = redis.call('HGETALL', H), 0, 0
      a = NUMBER_END
      for i = 1, #v, 2 do
        if tonumber(v[i]) then
          local n = tonumber(v[i + 1])
          if n > 0 then all = all + n end
          if n > max then max = n end
          if n >= q and n < a then s, a = v[i], n end
        end
      end
      if max < q then
        a, x = 0, max + 1
        redis.call('HSET', H, 'x', x)
      end
      takes_last = all == q
    end
  end
  if a < q then return known(O, P, id) or (x == 1 and SOLD_OUT or NO_SHARD_FITS) end
  if limit > 0 and q > limit then return known(O, P, id) or BUYER_LIMIT end

  local now
  if rate > 0 then
    now = admitted[O]
    -- This server's clock, not the caller's: callers do not agree on when a second begins.
    local second = redis.call('TIME')[1]
    if not now or now.second ~= second then
      now = { second = second, count = 0 }
      admitted[O] = now
    end
    if now.count >= rate then return known(O, P, id) or TOO_FAST end
  end

  if redis.call('HSETNX', O, id, to_record('R', category, s, A[3], epoch, at, '0', buyer)) == 0 then
    return known(O, P, id)                  -- the same order again: nothing is taken
  end
  if limit > 0 and redis.call('HINCRBY', B, buyer, A[3]) > limit then
    take_from_buyer(B, buyer, A[3])
    redis.call('HDEL', O, id)
    return BUYER_LIMIT
  end
  redis.call('HINCRBY', H, s, '-' .. A[3])
  if takes_last then redis.call('HSET', H, 'x', 1) end   -- who asks for more than that is told "sold out", too
  redis.call('HSET', P, id, at)
  if now then now.count = now.count + 1 end
  return tonumber(s)
end

-- The ledger decided that these orders do not have their units (any more).
-- KEYS h o p b   ARGV epoch, time, then for each order: order, stock shard, quantity, version, buyer
-- reply: array with, for each order, 1 its units came back, 2 only remembered as void, 0 nothing: it was void, or something
-- newer is known of it, or the order of this id is on another stock shard; or one integer < 0 for all
local function release(K, A)
  local H, O, P, B = K[1], K[2], K[3], K[4]
  local epoch, at, category = A[1], A[2], category_of(H)
  local orders = (#A - 2) / 5
  if #K ~= 4 or not category then return bad('keys of release') end
  if not whole(epoch, 1) then return bad('epoch') end
  if not whole(at, 0) then return bad('time') end
  if orders < 1 or orders % 1 ~= 0 or orders > BATCH_MAX then return bad('number of orders') end
  local ids = {}
  for i = 3, #A, 5 do
    if not is_order(A[i]) then return bad('order') end
    if not whole(A[i + 1], 1) then return bad('stock shard') end
    if not whole(A[i + 2], 1) then return bad('quantity') end
    if not whole(A[i + 3], 0) then return bad('version') end
    if not is_buyer(A[i + 4]) then return bad('buyer') end
    ids[#ids + 1] = A[i]
  end
  local no = refusal(H, O, epoch)
  if no then return no end
  local records = redis.call('HMGET', O, unpack(ids))
  for n = 1, orders do
    if records[n] then
      local _, of = of_record(records[n])
      if of ~= category then return bad('category of the order') end
    end
  end

  local replies, seen, has_credit = {}, {}, false
  for n = 1, orders do
    local i = 5 * n - 2
    local id, s, q, v, buyer = A[i], A[i + 1], A[i + 2], A[i + 3], A[i + 4]
    local r = records[n]
    if seen[id] then
      replies[n] = 0
    elseif r then
      seen[id] = true
      replies[n] = 0
      local mark, _, rs, rq, re, rat, rv, rbuyer = of_record(r)
      -- An order of another stock shard is another row of the ledger, although it has the same id.
      if rs == s and tonumber(rv) <= tonumber(v) then
        redis.call('HSET', O, id, to_record('V', category, rs, rq, re, rat, v, rbuyer))
        redis.call('HDEL', P, id)
        if mark == 'R' then
          take_from_buyer(B, rbuyer, rq)
          redis.call('HINCRBY', H, rs, rq)
          has_credit = true
          replies[n] = 1
        end
      end
    else
      seen[id] = true
      -- The tombstone meets a reservation that is still on its way. Neither count nor buyer's total has this order.
      redis.call('HSET', O, id, to_record('V', category, s, q, epoch, at, v, buyer))
      redis.call('HDEL', P, id)
      replies[n] = 2
    end
  end
  if has_credit then redis.call('HDEL', H, 'x') end
  return replies
end

-- The ledger gave these orders units that this store had given back: money came after the hold had ended. The count may
-- fall below zero until the reservations that were made meanwhile are refused by the ledger.
-- KEYS h o p b   ARGV epoch, time, then for each order: order, stock shard, quantity, version, buyer
-- reply: array with, for each order, 1 taken, 0 nothing: it had them, or something newer is known of it, or the order of this
-- id is on another stock shard; or one integer < 0 for all
local function claim(K, A)
  local H, O, P, B = K[1], K[2], K[3], K[4]
  local epoch, at, category = A[1], A[2], category_of(H)
  local orders = (#A - 2) / 5
  if #K ~= 4 or not category then return bad('keys of claim') end
  if not whole(epoch, 1) then return bad('epoch') end
  if not whole(at, 0) then return bad('time') end
  if orders < 1 or orders % 1 ~= 0 or orders > BATCH_MAX then return bad('number of orders') end
  local ids = {}
  for i = 3, #A, 5 do
    if not is_order(A[i]) then return bad('order') end
    if not whole(A[i + 1], 1) then return bad('stock shard') end
    if not whole(A[i + 2], 1) then return bad('quantity') end
    if not whole(A[i + 3], 0) then return bad('version') end
    if not is_buyer(A[i + 4]) then return bad('buyer') end
    ids[#ids + 1] = A[i]
  end
  local no = refusal(H, O, epoch)
  if no then return no end
  local records = redis.call('HMGET', O, unpack(ids))
  for n = 1, orders do
    if records[n] then
      local _, of = of_record(records[n])
      if of ~= category then return bad('category of the order') end
    end
  end

  local replies, seen = {}, {}
  redis.call('HDEL', H, 'x')                -- a claim may take the last units, which the next scan shall notice
  for n = 1, orders do
    local i = 5 * n - 2
    local id, s, q, v, buyer = A[i], A[i + 1], A[i + 2], A[i + 3], A[i + 4]
    local r = records[n]
    local mark, _, rs, rq, re, rat, rv, rbuyer
    if r then mark, _, rs, rq, re, rat, rv, rbuyer = of_record(r) end
    if seen[id] or r and (rs ~= s or tonumber(rv) > tonumber(v)) then
      replies[n] = 0
    else
      seen[id] = true
      if r then
        q, buyer = rq, rbuyer
        redis.call('HSET', O, id, to_record('R', category, rs, rq, re, rat, v, rbuyer))
      else
        redis.call('HSET', O, id, to_record('R', category, s, q, epoch, at, v, buyer))
      end
      redis.call('HDEL', P, id)
      replies[n] = 0
      if mark ~= 'R' then
        give_to_buyer(B, buyer, q)
        redis.call('HINCRBY', H, s, '-' .. q)
        replies[n] = 1
      end
    end
  end
  return replies
end

-- The ledger has given stock shards another capacity. What is reserved and not decided stays counted, so a count may fall
-- below zero until the ledger has refused it.
-- KEYS h o c   ARGV epoch, then for each stock shard: id, capacity, adjustment
-- reply: array with, for each stock shard, 1 adjusted, 0 this or a newer adjustment is counted, or the stock shard came after
-- the seed; or one integer < 0 for all
local function adjust(K, A)
  local H, O, C = K[1], K[2], K[3]
  local epoch, shards = A[1], (#A - 1) / 3
  if #K ~= 3 or not category_of(H) then return bad('keys of adjust') end
  if not whole(epoch, 1) then return bad('epoch') end
  if shards < 1 or shards % 1 ~= 0 or shards > BATCH_MAX then return bad('number of stock shards') end
  for i = 2, #A, 3 do
    if not whole(A[i], 1) then return bad('stock shard') end
    if not whole(A[i + 1], 0) then return bad('capacity') end
    if not whole(A[i + 2], 1) then return bad('adjustment') end
  end
  local no = refusal(H, O, epoch)
  if no then return no end

  local replies = {}
  for n = 1, shards do
    local i = 3 * n - 1
    local s, capacity, adjustment = A[i], A[i + 1], A[i + 2]
    local counted, before = string.match(redis.call('HGET', C, s) or '', '^(%d+)|(%d+)$')
    replies[n] = 0
    if counted and tonumber(adjustment) > tonumber(counted) then
      redis.call('HINCRBY', H, s, string.format('%.0f', tonumber(capacity) - tonumber(before)))
      redis.call('HSET', C, s, adjustment .. '|' .. capacity)
      redis.call('HDEL', H, 'x')            -- more may fit now, or nothing any more, which the next scan shall notice
      replies[n] = 1
    end
  end
  return replies
end

-- KEYS o p   ARGV epoch, then orders. They are decided: nobody needs to ask after them any more.
-- reply: how many had been pending. Of another epoch or not armed: 0, the seed has emptied the list.
local function settle(K, A)
  if #K ~= 2 then return bad('keys of settle') end
  if not whole(A[1], 1) then return bad('epoch') end
  if #A < 2 or #A > 1 + BATCH_MAX then return bad('number of orders') end
  for i = 2, #A do
    if not is_order(A[i]) then return bad('order') end
  end
  if not is_armed(K[1]) or armed[K[1]] ~= A[1] then return 0 end
  return redis.call('HDEL', K[2], unpack(A, 2))
end

-- Fills what the seed swaps in. The same batch again changes nothing.
-- KEYS staged o, staged b   ARGV seconds until both are dropped if no seed comes, then for each order:
-- mark, order, category, stock shard, quantity, epoch, time, version, buyer
-- reply: how many orders are staged
local function stage(K, A)
  local orders = (#A - 1) / 9
  if #K ~= 2 then return bad('keys of stage') end
  if not whole(A[1], 1) then return bad('seconds to keep') end
  if orders < 1 or orders % 1 ~= 0 or orders > BATCH_MAX then return bad('number of orders') end
  for i = 2, #A, 9 do
    if A[i] ~= 'R' and A[i] ~= 'V' then return bad('mark') end
    if not is_order(A[i + 1]) then return bad('order') end
    if not string.find(A[i + 2], '^[a-z0-9-]+$') then return bad('category') end
    if not whole(A[i + 3], 1) then return bad('stock shard') end
    if not whole(A[i + 4], 1) then return bad('quantity') end
    if not whole(A[i + 5], 1) then return bad('epoch') end
    if not whole(A[i + 6], 0) then return bad('time') end
    if not whole(A[i + 7], 0) then return bad('version') end
    if not is_buyer(A[i + 8]) then return bad('buyer') end
  end
  for i = 2, #A, 9 do
    local r = to_record(A[i], A[i + 2], A[i + 3], A[i + 4], A[i + 5], A[i + 6], A[i + 7], A[i + 8])
    if redis.call('HSETNX', K[1], A[i + 1], r) == 1 and A[i] == 'R' then
      give_to_buyer(K[2], A[i + 8], A[i + 4])
    end
  end
  redis.call('EXPIRE', K[1], A[1])
  redis.call('EXPIRE', K[2], A[1])
  return redis.call('HLEN', K[1])
end

-- KEYS o p b c, staged o, staged b, then h of each category
-- ARGV epoch, units that one buyer may have (0 = no limit), orders staged,
--      then for each category: number of stock shards, then for each of them: id, units, capacity, adjustment
-- reply: 0 seeded and armed (also when this very epoch is armed already)   -1 not what was staged is there
--        n > 0 fenced: epoch n is in place, this one or a newer one
local function seed(K, A)
  local O, P, B, C, SO, SB, epoch = K[1], K[2], K[3], K[4], K[5], K[6], A[1]
  local n, staged = whole(epoch, 1), whole(A[3], 0)
  if #K < 7 then return bad('keys of seed') end
  if not n then return bad('epoch') end
  if not whole(A[2], 0) then return bad('units of one buyer') end
  if not staged then return bad('orders staged') end
  local at, ids = 4, {}
  for k = 7, #K do
    local shards = whole(A[at], 1)
    if not category_of(K[k]) then return bad('category') end
    if not shards then return bad('number of stock shards') end
    for i = at + 1, at + 4 * shards, 4 do
      if not whole(A[i], 1) or ids[A[i]] then return bad('stock shard') end
      if not whole(A[i + 1], 0) then return bad('units') end
      if not whole(A[i + 2], 0) then return bad('capacity') end
      if not whole(A[i + 3], 0) then return bad('adjustment') end
      ids[A[i]] = true
    end
    at = at + 1 + 4 * shards
  end
  if at ~= #A + 1 then return bad('number of arguments of seed') end

  if armed[O] == epoch and is_armed(O) then return 0 end
  local newest = math.max(tonumber(armed[O] or 0), tonumber(redis.call('HGET', O, 'e') or 0))
  for k = 7, #K do
    newest = math.max(newest, tonumber(redis.call('HGET', K[k], 'e') or 0))
  end
  if newest >= n then return newest end
  if redis.call('HLEN', SO) ~= staged then return -1 end

  armed[O] = nil
  redis.call('UNLINK', O, P, B, C)
  if redis.call('EXISTS', SO) == 1 then
    redis.call('RENAME', SO, O)
    redis.call('PERSIST', O)
  end
  if redis.call('EXISTS', SB) == 1 then
    redis.call('RENAME', SB, B)
    redis.call('PERSIST', B)
  end
  redis.call('HSET', O, 'e', epoch)
  at = 4
  for k = 7, #K do
    local last = at + 4 * tonumber(A[at])
    redis.call('UNLINK', K[k])
    redis.call('HSET', K[k], 'l', A[2], 'e', epoch)
    for i = at + 1, last, 4 do
      redis.call('HSET', K[k], A[i], A[i + 1])
      redis.call('HSET', C, A[i], A[i + 3] .. '|' .. A[i + 2])
    end
    at = last + 1
  end
  armed[O] = epoch
  return 0
end

-- KEYS o p b c, then h of each category. The end of a sale: disarms and drops.
local function close(K)
  if #K < 4 then return bad('keys of close') end
  armed[K[1]], admitted[K[1]] = nil, nil
  redis.call('UNLINK', unpack(K))
  return 1
end

-- KEYS o   ARGV epoch   Nothing is sold any more by an older epoch. The data stays for whoever looks.
-- reply: 1 disarmed, 0 it was not armed with an older one
local function disarm(K, A)
  if #K ~= 1 or #A ~= 1 or not whole(A[1], 1) then return bad('arguments of disarm') end
  local e = armed[K[1]]
  if not e or tonumber(e) >= tonumber(A[1]) then return 0 end
  armed[K[1]], admitted[K[1]] = nil, nil
  return 1
end

-- KEYS o   reply: the armed epoch, or nil
local function state(K)
  if #K ~= 1 then return bad('keys of state') end
  return is_armed(K[1]) and armed[K[1]] or false
end

-- KEYS h o   reply: array of stock shard, units ...; empty if the category is not armed
local function counts(K)
  if #K ~= 2 or not category_of(K[1]) then return bad('keys of counts') end
  local e, found = armed[K[2]], {}
  if not e or redis.call('HGET', K[1], 'e') ~= e then return found end
  local v = redis.call('HGETALL', K[1])
  for i = 1, #v, 2 do
    if tonumber(v[i]) then
      found[#found + 1] = v[i]
      found[#found + 1] = v[i + 1]
    end
  end
  return found
end

-- KEYS o p   ARGV order   reply: as reserve for a known order, or nil. Answers from whatever is there, armed or not.
local function record(K, A)
  if #K ~= 2 or not is_order(A[1]) then return bad('arguments of record') end
  return known(K[1], K[2], A[1]) or false
end

-- KEYS o   ARGV epoch, orders   reply: a text with 1 for each order that is known and 0 for each that is not; integer < 0
-- if the event is not armed with this epoch
local function known_of(K, A)
  if #K ~= 1 or #A < 2 or not whole(A[1], 1) then return bad('arguments of known') end
  local e, ids = armed[K[1]], {}
  if e ~= A[1] or not is_armed(K[1]) then return e and e ~= A[1] and OTHER_EPOCH or WARMING_UP end
  for i = 2, #A do
    if not is_order(A[i]) then return bad('order') end
    ids[i - 1] = A[i]
  end
  local found = redis.call('HMGET', K[1], unpack(ids))
  for i = 1, #ids do found[i] = found[i] and '1' or '0' end
  return table.concat(found)
end

-- KEYS o p   ARGV cursor, fields to look at, time   reply: array of next cursor, then order, time, record of each entry
-- that is not younger than the time; nothing if the event is not armed
local function pending(K, A)
  local fields, before = whole(A[2], 1), whole(A[3], 0)
  if #K ~= 2 or not whole(A[1], 0) and not string.find(A[1] or '', '^%d+$') then return bad('arguments of pending') end
  if not fields or not before then return bad('arguments of pending') end
  if not is_armed(K[1]) then return { '0' } end
  local page = redis.call('HSCAN', K[2], A[1], 'COUNT', A[2])
  local found, v = { page[1] }, page[2]
  for i = 1, #v, 2 do
    if tonumber(v[i + 1]) <= before then
      local r = redis.call('HGET', K[1], v[i])
      if r then
        found[#found + 1] = v[i]
        found[#found + 1] = v[i + 1]
        found[#found + 1] = r
      end
    end
  end
  return found
end

-- KEYS o p   reply: how many orders are pending; 0 if the event is not armed
local function pending_count(K)
  if #K ~= 2 then return bad('keys of pending_count') end
  return is_armed(K[1]) and redis.call('HLEN', K[2]) or 0
end

redis.register_function('st3_reserve', reserve)
redis.register_function('st3_release', release)
redis.register_function('st3_claim', claim)
redis.register_function('st3_adjust', adjust)
redis.register_function('st3_settle', settle)
redis.register_function('st3_stage', stage)
redis.register_function('st3_seed', seed)
redis.register_function('st3_close', close)
redis.register_function('st3_disarm', disarm)
local function register_reader(name, callback)
  redis.register_function{ function_name = name, callback = callback, flags = { 'no-writes' } }
end
register_reader('st3_state', state)
register_reader('st3_counts', counts)
register_reader('st3_record', record)
register_reader('st3_known', known_of)
register_reader('st3_pending', pending)
register_reader('st3_pending_count', pending_count)

-- Runs inside wrk (-s): when the load is over, every wait in whole microseconds goes into wrk.tsv, and the counts, as one
-- line of JSON, behind wrk's own report. wrk's own way to its waits (`latency(i)`) looks at all of them for each of them.
local ffi = require("ffi")
ffi.cdef("typedef struct { uint64_t count, limit, min, max, data[]; } bmt_stats;") -- src/stats.h of wrk 4.1

function done(summary, latency, requests)
  local stats = ffi.cast("bmt_stats **", latency)[0]
  local min, max, waits = tonumber(stats.min), tonumber(stats.max), 0
  local out = assert(io.open("wrk.tsv", "w"))
  if tonumber(stats.count) > 0 then
    if latency.min ~= min or latency.max ~= max then error("this wrk keeps its waits in another form than wrk 4.1") end
    for us = 0, max do -- from 0: what wrk adds may be below the shortest that it measured
      local count = tonumber(stats.data[us])
      if count > 0 then
        out:write(us, "\t", count, "\n")
        waits = waits + count
      end
    end
  end
  out:close()
  if waits ~= tonumber(stats.count) then error("this wrk keeps its waits in another form than wrk 4.1") end
  local e = summary.errors
  print(string.format(
    '{"duration_us": %d, "requests": %d, "bytes": %d, "connect": %d, "read": %d, "write": %d, "status": %d, '
      .. '"timeout": %d, "waits": %d}',
    summary.duration, summary.requests, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout, waits))
end

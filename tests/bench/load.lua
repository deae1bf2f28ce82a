-- wrk URL -- METHOD BODYFILE COUNT: "-" for no body; after COUNT answers it stops, 0 for never.
function init(args)
  wrk.method = args[1]
  wrk.headers["Authorization"] = "Bearer bench"
  if args[2] ~= "-" then
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = io.open(args[2], "rb"):read("*a")
  end
  local left = tonumber(args[3])
  if left > 0 then
    response = function()
      left = left - 1
      if left == 0 then
        wrk.thread:stop()
        -- End the sleep of the main thread, which would last the whole duration; os.execute itself shuts SIGINT out.
        os.execute("(sleep 0.002; kill -INT $PPID) &")
      end
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"answers": %d, "seconds": %f, "median": %f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end

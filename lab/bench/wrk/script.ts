import { exchanges } from "../exchanges.ts";
import type { RequestPlan } from "../exchanges.ts";
import type { Workload } from "../workloads.ts";
import { SUMMARY_MARK } from "./output.ts";

/** Whether wrk can send a workload: HTTP, as fast as it is answered, and nothing beside it. */
export function wrkCanSend({ load, shareOfPeak, pushesPerSecond }: Workload): boolean {
  return (
    load.protocol === "http" &&
    // It would need a build of its own for https, and its certificates.
    load.tls !== true &&
    load.connections > 0 &&
    load.idleConnections === 0 &&
    shareOfPeak === undefined &&
    pushesPerSecond === undefined
  );
}

/** All requests of a plan for {@link wrkScript}: each with its length in bytes in a line before it. */
export function wrkRequests(plan: RequestPlan, podPort: number): Buffer {
  return Buffer.concat(
    exchanges(plan, podPort).map(({ request, body = Buffer.alloc(0) }) => {
      const bytes = Buffer.concat([Buffer.from(request, "latin1"), body]);
      return Buffer.concat([Buffer.from(`${bytes.length}\n`, "latin1"), bytes]);
    }),
  );
}

/**
 * A Lua script that sends the requests of the file at `path` in turn and prints one line at the end, which
 * `parseWrkOutput` reads. It has no `response` function: wrk would parse all fields for it, and be slow.
 */
export function wrkScript(path: string): string {
  return `local requests = {}
local file = assert(io.open(${luaString(path)}, "rb"))
while true do
  local length = file:read("*n")
  if not length then break end
  file:read(1)
  requests[#requests + 1] = file:read(length)
end
file:close()
local count = #requests
local at = 0

function request()
  at = at % count + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "${SUMMARY_MARK}requests=%d status=%d connect=%d read=%d write=%d timeout=%d p50=%d p99=%d p999=%d\\n",
    summary.requests, errors.status, errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`;
}

function luaString(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

import { openAccessLog } from "../../../src/router/access-log-file.ts";

// Writes access-log lines to its standard output, as one of several workers does: `log-writer.ts NAME COUNT`.

const [, , name = "", count = "0"] = process.argv;
const log = openAccessLog("json", 1, true);
for (let number = 0; number < Number(count); number++) {
  log.record({
    startedAtMs: number,
    requestId: `${name}-${number}`,
    client: "127.0.0.1",
    method: "GET",
    host: "3000-box.example.com",
    path: `/${"long/".repeat(number % 40)}`,
    protocol: "HTTP/1.1",
    status: 200,
    reason: "ok",
    durationMs: 1,
    bytesIn: 0,
    bytesOut: 0,
    retried: false,
    upgraded: false,
  });
  if (number % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
}
await log.close();

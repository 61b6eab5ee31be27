/*
 * What the fast lane's own code costs per request, without sockets and kernel: `node lab/bench/fast-lane.ts [TURNS] [HEAD ...]`.
 * One client whose socket is nothing but a write function, and one pod whose socket forgets what is written to it. It sends the
 * three fields of `small-get`, each HEAD of the corpus (`heads/`; `all` for every one), and all of these in turn.
 */
import { EventEmitter, once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { systemClock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import { Deadlines } from "../../src/proxy/limits/deadlines.ts";
import { FastLane } from "../../src/proxy/fast/fast-lane.ts";
import { FastPod } from "../../src/proxy/fast/fast-pod.ts";
import { RESPONSE_FIELDS } from "../../src/proxy/forwarding/field-rules.ts";
import { FieldIndex } from "../../src/proxy/http1/field-index.ts";
import { Transport } from "../../src/proxy/transport/transport.ts";
import { LeastRate } from "../../src/proxy/limits/least-rate.ts";
import { RefusalLog } from "../../src/proxy/record/refusal-log.ts";
import { SmallBodies } from "../../src/proxy/limits/small-bodies.ts";
import { newViaPseudonym } from "../../src/proxy/lane-options.ts";
import { configFrom } from "../../src/config/load.ts";
import { createRouterAccess } from "../../src/router/router-access.ts";
import { tableOptionsOf } from "../../src/router/table-options.ts";
import { type CapturedHead, capturedHeads, requestHead } from "./heads/heads.ts";
import { createTargetParser } from "../../src/proxy/target/target.ts";
import { HeldRequests } from "../../src/proxy/limits/held-requests.ts";
import { Upstreams } from "../../src/proxy/upstream/upstreams.ts";
import { RouteTable } from "../../src/routes/table.ts";

class NoSocket extends EventEmitter {
  remoteAddress = "127.0.0.1";
  localPort = 7788;
  writableLength = 0;
  errored = null;
  destroyed = false;
  onWrite: (text: string | Buffer) => void = () => {};
  write(text: string | Buffer): boolean {
    this.onWrite(text);
    return true;
  }
  setKeepAlive(): void {}
  setNoDelay(): void {}
  pause(): void {}
  resume(): void {}
}

const config = configFrom({ source: "none" });
const table = new RouteTable(tableOptionsOf(config));
for (let i = 0; i < 10_000; i++) {
  table.pushUpdate(
    {
      namespace: "bench",
      name: `s${i}`,
      id: `s${i}`,
      uid: `uid-${i}`,
      owner: "",
      ip: `127.1.${i >> 8}.${i & 255}`,
      state: "running",
      resourceVersion: String(i + 1),
      accessToken: "",
      requireTrafficAuth: false,
    },
    0,
  );
}
const clock = systemClock;
const metrics = createMetrics({ version: "0", clock, processMetrics: false });
const upstreams = new Upstreams({ ...config.upstream, observer: metrics.upstream, clock });
const parseTarget = createTargetParser(config.target);
const transport = new Transport();
const lane = new FastLane({
  transport,
  routes: table,
  parseTarget,
  access: createRouterAccess({ config, clock, log: silentLog }).gate,
  upstreams,
  held: new HeldRequests({ routes: table, clock, settleMs: 500, maxHeld: 1_000 }, metrics.held),
  clock,
  log: silentLog,
  refusals: new RefusalLog(silentLog, clock),
  firstByteTimeoutMs: 600_000,
  idleTimeoutMs: 600_000,
  uploadRate: new LeastRate({ bytesPerSecond: 240, windowMs: 60_000 }),
  downloadRate: new LeastRate({ bytesPerSecond: 240, windowMs: 60_000 }),
  smallBodies: new SmallBodies({ maxBytes: 16_384, totalBytes: 1 << 25 }),
  trustForwarded: false,
  draining: () => false,
  observer: (record) => metrics.requestFinished(record),
  headerTimeoutMs: 10_000,
  keepAliveTimeoutMs: 75_000,
  maxHeaderBytes: 65_536,
  maxRequestsPerConnection: 0,
  requestStarted() {},
  viaPseudonym: newViaPseudonym(),
  handOverHttp2: undefined,
  handOver() {},
});

const body = "x".repeat(1024);
const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\nDate: Sat, 21 Nov 2026 05:00:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=65\r\n\r\n${body}`,
);
const context = {
  deadlines: new Deadlines(clock, 1000),
  transport,
  responseFields: new FieldIndex(RESPONSE_FIELDS),
  keepAliveTimeoutMs: 60_000,
  maxResponseHeaderBytes: 65_536,
  httpDate: () => "Sat, 21 Nov 2026 05:00:00 GMT",
};
answer.copy(transport.buffers.small);
// A real connection, to nobody who answers; what is written to it goes nowhere.
const listener = createServer().listen(0, "127.0.0.1");
await once(listener, "listening");
const pod = await new Promise<FastPod>((resolve, reject) => {
  const opened = new FastPod(context, {
    address: { ip: "127.0.0.1", port: (listener.address() as AddressInfo).port },
    connectTimeoutMs: 1000,
    clock,
    home: {
      opened: () => resolve(opened),
      openFailed: (_connection, error) => reject(error),
      closed() {},
      release: (connection) => connection.rest(),
      discard() {},
    },
  });
});
pod.socket.write = () => true;
// The pool gives what the lane's own kind of connection opened: here, at once.
upstreams.lease = (_incarnation, _options, lessee) => {
  lessee.granted(pod as never);
  return () => {};
};
upstreams.take = (() => pod) as never;
const client = new NoSocket();
let got = 0;
client.onWrite = (text) => {
  got += text.length;
};
lane.add(client as unknown as Socket, { clientAddress: "127.0.0.1" });
const turns = Number(process.argv[2] ?? 100_000);
const asked = new Set(process.argv.slice(3));
const plain = {
  name: "three fields",
  hostAt: 0,
  fields: ["User-Agent: bench/1.0", "Accept: */*", "Accept-Encoding: gzip, br"],
};
const heads = capturedHeads().filter(({ name }) => asked.has("all") || asked.has(name));
/** Requests that differ in their first line, as those of one program do. */
const requestsOf = ({ hostAt, fields }: Pick<CapturedHead, "hostAt" | "fields">): Buffer[] =>
  Array.from({ length: 16 }, (_, index) => {
    const named = fields.map((field) => field.replace(/^(e2b-sandbox-id: ).*/i, "$1s77"));
    return Buffer.from(
      requestHead({ hostAt, fields: named }, `/path/of/it?with=${index}`, "3000-s77.bench.test", 0),
    );
  });

const each = [plain, ...heads].map((head) => ({ name: head.name, requests: requestsOf(head) }));
const inTurn = {
  name: "all in turn",
  requests: each.flatMap(({ requests }) => requests).sort(() => Math.random() - 0.5),
};
for (const { name, requests } of heads.length === 0 ? each : [...each, inTurn]) {
  const rounds: number[] = [];
  for (let round = 0; round < 6; round++) {
    // Not the time of day: other processes may have the core for a while.
    const before = process.cpuUsage();
    for (let i = 0; i < turns; i++) {
      client.emit("data", requests[i % requests.length]);
      // Read anew by the kernel: the lane may move bytes.
      answer.copy(transport.buffers.small);
      pod.onRead(transport.buffers.small, answer.length);
    }
    const { user, system } = process.cpuUsage(before);
    rounds.push(((user + system) * 1_000) / turns);
  }
  const best = Math.min(...rounds);
  console.log(
    `${best.toFixed(0).padStart(6)} ns  ${name}, ${(got / turns / rounds.length).toFixed(0)} bytes each`,
  );
  got = 0;
}
process.exit(0);

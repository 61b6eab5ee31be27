/*
 * Captures the heads of requests that real programs send: `node lab/bench/heads/capture.ts FOLDER [NAME ...]`. FOLDER has
 * what the clients need: `npm i axios e2b got undici @modelcontextprotocol/sdk @connectrpc/connect @connectrpc/connect-web
 * @bufbuild/protobuf esbuild` and, in FOLDER/v, a Python environment with
 * httpx, aiohttp, requests, e2b and openai. curl, go, nginx, chromium and firefox-esr are taken from PATH; what is missing is
 * said and keeps the head that it had. Each head is written to `NAME.http`, byte for byte but for its Host.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { HOST } from "./heads.ts";

const run = promisify(execFile);
const here = import.meta.dirname;
const [folder = "", ...only] = process.argv.slice(2);
const WAIT_MS = 60_000;

const shopPage = `<!doctype html><link rel="icon" href="data:,"><script>
document.cookie = "session=${"s3".repeat(40)}; path=/"; document.cookie = "_ga=GA1.1.1234567890.1700000000; path=/";
document.cookie = "prefs=${"p".repeat(1200)}; path=/";
setTimeout(() => fetch("/api?json", { headers: { "X-CSRF-Token": "${"c".repeat(32)}" } }), 200);
</script>`;
/** What every request is answered with. */
let page = shopPage;
const answer = (): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${Buffer.byteLength(page)}\r\n\r\n${page}`;

/** Heads that came, without their bodies, in order. */
const heads: string[] = [];
const open = new Set<Socket>();
const server = createServer((socket) => {
  open.add(socket);
  let bytes = "";
  socket.on("error", () => {});
  socket.on("close", () => open.delete(socket));
  socket.on("data", (chunk) => {
    bytes += chunk.toString("latin1");
    const end = bytes.indexOf("\r\n\r\n");
    if (end === -1) return;
    heads.push(bytes.slice(0, end + 4));
    bytes = "";
    socket.end(answer());
  });
});
server.listen(0, "127.0.0.1");
await new Promise((done) => server.once("listening", done));
const { port } = server.address() as AddressInfo;
const url = `http://127.0.0.1:${port}`;

const scratch = mkdtempSync(join(tmpdir(), "lychgate-heads-"));
const inFolder = { cwd: resolve(folder), timeout: WAIT_MS };
const node = (name: string) =>
  run(process.execPath, [join(here, "clients/node.mjs"), name, `${url}/`], inFolder);
const python = (name: string) =>
  run(join(folder, "v/bin/python"), [join(here, "clients/python.py"), name, `${url}/`], inFolder);

/** nginx as a front of ours; `fields` are what it adds. */
async function behindNginx(
  fields: readonly string[],
  send: (front: string) => Promise<unknown>,
): Promise<void> {
  const front = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => front.once("listening", done));
  const { port: frontPort } = front.address() as AddressInfo;
  await new Promise((done) => front.close(done));
  const config = join(scratch, `nginx-${frontPort}.conf`);
  writeFileSync(
    config,
    `daemon off; pid ${scratch}/nginx.pid; error_log /dev/null; events {} http { access_log off; client_body_temp_path ${scratch}/b;
     proxy_temp_path ${scratch}/p; fastcgi_temp_path ${scratch}/f; uwsgi_temp_path ${scratch}/u; scgi_temp_path ${scratch}/s;
     server { listen 127.0.0.1:${frontPort}; location / { proxy_pass ${url}; proxy_http_version 1.1; proxy_set_header Connection "";
     ${fields.map((field) => `proxy_set_header ${field};`).join("\n")} } } }`,
  );
  const ended = new AbortController();
  const nginx = run("nginx", ["-c", config], { signal: ended.signal }).catch(() => {});
  try {
    await send(`http://127.0.0.1:${frontPort}`);
  } finally {
    ended.abort();
    await nginx;
  }
}
const curl = (to: string, ...more: string[]) =>
  run(
    "curl",
    [
      "-sS",
      "--retry",
      "10",
      "--retry-connrefused",
      "--retry-delay",
      "0",
      "--retry-max-time",
      "10",
      ...more,
      to,
    ],
    { timeout: WAIT_MS },
  );
const chromium = (to: string) =>
  run(
    "chromium",
    [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      `--user-data-dir=${scratch}/chromium`,
      "--virtual-time-budget=4000",
      "--dump-dom",
      to,
    ],
    { timeout: WAIT_MS },
  );
const firefox = (to: string) =>
  run("firefox-esr", ["--headless", "--profile", scratch, "--screenshot", `${scratch}/shot.png`, to], {
    timeout: WAIT_MS,
    env: { ...process.env, HOME: scratch },
  });

/** A page that calls a service by gRPC-Web as soon as it is open. */
async function chromiumWithGrpcWeb(): Promise<void> {
  const { stdout } = await run(
    join(folder, "node_modules/.bin/esbuild"),
    [join(here, "clients/grpc-web.mjs"), "--bundle", "--minify", "--format=iife"],
    { env: { ...process.env, NODE_PATH: resolve(folder, "node_modules") }, maxBuffer: 16_000_000 },
  );
  page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>${stdout.replaceAll("</script", "<\\/script")}</script>`;
  try {
    await chromium(`${url}/`);
  } finally {
    page = shopPage;
  }
}

/** The first head whose first line matches counts. */
const PROGRAMS: Readonly<Record<string, readonly [send: () => Promise<unknown>, firstLine?: RegExp]>> = {
  curl: [() => curl(`${url}/`)],
  go: [() => run("go", ["run", join(here, "clients/go.go"), `${url}/`], { timeout: WAIT_MS })],
  "node-fetch": [() => node("node-fetch")],
  undici: [() => node("undici")],
  axios: [() => node("axios")],
  got: [() => node("got")],
  httpx: [() => python("httpx")],
  requests: [() => python("requests")],
  aiohttp: [() => python("aiohttp")],
  "e2b-js": [() => node("e2b-js")],
  "e2b-python": [() => python("e2b-python")],
  "openai-python": [() => python("openai-python")],
  "mcp-js": [() => node("mcp-js")],
  "traced-fetch": [() => node("traced-fetch")],
  "chrome-page": [() => chromium(`${url}/`), /^GET \/ /],
  "chrome-fetch": [() => chromium(`${url}/`), /^GET \/api/],
  "grpc-web": [chromiumWithGrpcWeb, /^POST \/process/],
  "firefox-page": [() => firefox(`${url}/`), /^GET \/ /],
  "behind-nginx": [
    () =>
      behindNginx(
        [
          "Host $host",
          "X-Real-IP $remote_addr",
          "X-Forwarded-For $proxy_add_x_forwarded_for",
          "X-Forwarded-Proto $scheme",
          "X-Forwarded-Host $host",
          "X-Request-Id $request_id",
        ],
        (front) => curl(`${front}/`),
      ),
  ],
  "behind-alb": [
    // The fields that AWS documents for Application Load Balancers, and Via and traceparent as a CDN and a mesh add them.
    () =>
      behindNginx(
        [
          "Host $host",
          "X-Forwarded-For 203.0.113.7",
          "X-Forwarded-Proto https",
          "X-Forwarded-Port 443",
          "X-Amzn-Trace-Id Root=1-67891233-abcdef012345678912345678",
          'Via "2.0 0f1e2d3c4b5a.cloudfront.net (CloudFront)"',
          "traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ],
        (front) => e2bThrough(front),
      ),
  ],
};

/** The E2B SDK behind it: what a hosted platform gets. */
function e2bThrough(front: string): Promise<unknown> {
  return run(process.execPath, [join(here, "clients/node.mjs"), "e2b-js", front], inFolder);
}

let missed = 0;
for (const [name, [send, firstLine = /^/]] of Object.entries(PROGRAMS)) {
  if (only.length > 0 && !only.includes(name)) continue;
  heads.length = 0;
  // A client need not like the answer: what it sent counts.
  const fault = await send().then(
    () => undefined,
    (error: Error) => error,
  );
  const head = heads.find((each) => firstLine.test(each));
  for (const socket of open) socket.destroy();
  if (head === undefined) {
    missed += 1;
    process.stderr.write(`${name}: nothing came${fault ? `: ${fault.message.slice(0, 600)}` : ""}\n`);
    continue;
  }
  writeFileSync(
    join(here, `${name}.http`),
    head.replace(/^(host: ).*$/im, (_, field: string) => `${field}${HOST}`),
    "latin1",
  );
  process.stdout.write(`${name}: ${head.split("\r\n").length - 3} fields, ${head.length} bytes\n`);
}
server.close();
rmSync(scratch, { recursive: true, force: true });
process.exitCode = missed === 0 ? 0 : 1;

import { connect } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { expect, onTestFinished, test } from "vitest";

import { eventually } from "../../support/eventually.ts";
import { OK } from "../support/raw-peer.ts";
import type { RouterOptions } from "../support/router.ts";
import { Scene } from "../support/scene.ts";

// What holds for requests of HTTP/1.1 holds for streams: waking (docs/wake.md), the redirect and the PROXY protocol (docs/tls.md).

const KEY = "ns/box" as const;

async function asleep(waking: RouterOptions["waking"] = {}) {
  const scene = await Scene.open({ waking });
  scene.router.routes.sleep("box");
  const session = connect(`http://127.0.0.1:${scene.router.port}`);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return {
    scene,
    session,
    waiting: (count: number) =>
      eventually(() => expect(scene.router.waking?.size).toBe(count), { everyMs: 2 }),
    wakesUp: () => scene.router.waking?.routeChanged(KEY, scene.router.routes.resume("box")),
  };
}

function begin(
  session: ClientHttp2Session,
  host: string,
  headers: OutgoingHttpHeaders = {},
): ClientHttp2Stream {
  const stream = session.request({ ":path": "/", ":authority": host, ...headers });
  stream.on("error", () => {});
  return stream;
}

async function statusOf(stream: ClientHttp2Stream): Promise<unknown[]> {
  const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
  stream.resume();
  return [headers[":status"], headers["x-lychgate-reason"]];
}

test("streams wait, each reaches the pod when the sandbox runs, and others of the connection go on meanwhile", async () => {
  const { scene, session, waiting, wakesUp } = await asleep();
  const body = "x".repeat(300_000);
  const get = statusOf(begin(session, scene.host));
  const upload = begin(session, scene.host, { ":method": "POST", "content-length": String(body.length) });
  upload.end(body);
  const uploaded = statusOf(upload);
  await waiting(2);
  expect(await statusOf(begin(session, "80-nobody.example.com"))).toEqual([502, "sandbox_not_found"]);
  expect(scene.pod.connections.length).toBe(0);
  scene.pod.onConnection = (peer) => {
    peer.socket.on("data", () => {
      if (peer.received.startsWith("GET ") || peer.received.endsWith(`\r\n\r\n${body}`)) peer.write(OK);
    });
  };
  wakesUp();
  expect(await get).toEqual([200, undefined]);
  expect(await uploaded).toEqual([200, undefined]);
  expect(scene.router.wakeReleases).toEqual(["woken", "woken"]);
});

test("a stream that the client resets waits no more, and comes to no pod", async () => {
  const { scene, session, waiting, wakesUp } = await asleep();
  const stream = begin(session, scene.host);
  await waiting(1);
  stream.close(8);
  await waiting(0);
  wakesUp();
  expect(await scene.router.record(0)).toMatchObject({ status: 499, reason: "client_closed" });
  expect(scene.pod.connections.length).toBe(0);
});

test("where no more may wait, 503; and what waits for a sandbox that ends is answered", async () => {
  const { scene, session, waiting } = await asleep({ maxHeldPerSandbox: 1 });
  const first = statusOf(begin(session, scene.host));
  await waiting(1);
  expect(await statusOf(begin(session, scene.host))).toEqual([503, "overloaded"]);
  const [{ uid } = { uid: "" }] = scene.router.wakes;
  scene.router.waking?.wakeFailed(KEY, uid, "failed");
  expect(await first).toEqual([503, "wake_failed"]);
});

test("a WebSocket waits like any request", async () => {
  const { scene, session, waiting, wakesUp } = await asleep();
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  const stream = begin(session, scene.host, {
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
  });
  await waiting(1);
  wakesUp();
  const inside = await scene.pod.connection(0);
  expect(await inside.until("\r\n\r\n")).toContain("Upgrade: websocket\r\n");
  stream.close(8);
});

test("with tls.redirect, a request on the plain port is sent to https, in HTTP/2 too", async () => {
  const scene = await Scene.open({ server: { redirect: { port: 7443 } } });
  const session = connect(`http://127.0.0.1:${scene.router.port}`);
  onTestFinished(() => session.destroy());
  const stream = begin(session, scene.host, { ":path": "/a?b=c" });
  const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
  expect([headers[":status"], headers["location"]]).toEqual([308, `https://${scene.host}:7443/a?b=c`]);
});

test("behind a PROXY protocol header, the client's address is the one that the header says", async () => {
  const scene = await Scene.open({ server: { proxyProtocol: ["127.0.0.1"] } });
  let head = "";
  scene.pod.answerAll((text) => {
    head = text;
    return OK;
  });
  const client = await scene.router.client();
  client.write("PROXY TCP4 192.0.2.7 192.0.2.1 50000 443\r\n");
  const session = connect("http://proxied", { createConnection: () => client.socket });
  onTestFinished(() => session.destroy());
  expect(await statusOf(begin(session, scene.host))).toEqual([200, undefined]);
  expect(head).toContain("X-Forwarded-For: 192.0.2.7\r\n");
  expect(await scene.router.record(0)).toMatchObject({ client: "192.0.2.7" });
});

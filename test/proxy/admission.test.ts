import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { admit, NotAdmitted } from "../../src/proxy/passage/admission.ts";
import { nameUnread } from "../../src/proxy/passage/unread-bytes.ts";
import { LANE } from "./support/lane.ts";
import { OK } from "./support/raw-peer.ts";
import { DEFAULTS } from "../support/defaults.ts";
import { Scene } from "./support/scene.ts";

const NAME = "lychgate-0123456789abcdef";

function reasonOf(method: string, fields: string[] = [], protocol = "HTTP/1.1"): string {
  const admitted = admit({ method, target: "/", rawHeaders: fields }, protocol, NAME);
  return admitted instanceof NotAdmitted ? admitted.reason : "admitted";
}

describe("admission", () => {
  test("refuses CONNECT and TRACE, in any case, and lets every other method pass", () => {
    for (const method of ["CONNECT", "connect", "Connect", "TRACE", "trace"]) {
      expect(reasonOf(method)).toBe("method_not_allowed");
      const plain = admit({ method, target: "/", rawHeaders: [], isPlain: true }, "HTTP/1.1", NAME);
      expect(plain).toBeInstanceOf(NotAdmitted);
    }
    for (const method of ["GET", "OPTIONS", "M-SEARCH", "FROB", "CONNECTED"]) {
      expect(reasonOf(method)).toBe("admitted");
    }
  });

  test("refuses versions that are not understood", () => {
    expect(reasonOf("GET", [], "HTTP/1.0")).toBe("admitted");
    for (const version of ["2.0", "3.0"])
      expect(reasonOf("GET", [], `HTTP/${version}`)).toBe("version_not_supported");
    expect(reasonOf("GET", [], "HTTP/0.9")).toBe("bad_request");
    // Not what a request line says: node:http takes 2.0 there for a version.
    const stream = { method: "GET", target: "/", rawHeaders: ["Host", "a"], isStream: true };
    expect(admit(stream, "HTTP/2.0", "lychgate-x")).toBe(stream);
  });

  test.each([
    ["Content-Length", "1", "Content-Length", "1"],
    ["Content-Length", "1", "Transfer-Encoding", "chunked"],
    ["Content-Length", "1,1"],
    ["Transfer-Encoding", "gzip, chunked"],
    ["Transfer-Encoding", "chunked", "transfer-encoding", "chunked"],
  ])("refuses framing that can be read in two ways: %s: %s, %s: %s", (...fields) => {
    expect(reasonOf("POST", fields.filter(Boolean))).toBe("bad_request");
  });

  test("refuses chunks of HTTP/1.0 (RFC 9112 6.1)", () => {
    expect(reasonOf("POST", ["Transfer-Encoding", "chunked"])).toBe("admitted");
    expect(reasonOf("POST", ["Transfer-Encoding", "chunked"], "HTTP/1.0")).toBe("bad_request");
  });

  test("refuses a request that was here before, however its Via is written (RFC 9110 7.6.3)", () => {
    const others = fc.constantFrom("1.0 fred", "1.1 p.example.net (Apache/1.1)", "HTTP/1.1 lychgate-", "2 x");
    const own = fc.constantFrom(`1.1 ${NAME}`, `1.1  ${NAME} (a, b)`, `HTTP/1.0\t${NAME}`);
    fc.assert(
      fc.property(fc.array(others), own, fc.array(others), fc.boolean(), (before, mine, after, inLines) => {
        const all = [...before, mine, ...after];
        const fields = inLines ? all.flatMap((each) => ["vIA", each]) : ["Via", all.join(", ")];
        expect(reasonOf("GET", fields)).toBe("loop_detected");
        expect(reasonOf("GET", ["Via", [...before, ...after].join(",")])).toBe("admitted");
      }),
    );
  });

  test("answers OPTIONS with Max-Forwards: 0 itself, and no other method (RFC 9110 7.6.2)", () => {
    expect(reasonOf("OPTIONS", ["Max-Forwards", "0"])).toBe("max_forwards");
    expect(reasonOf("OPTIONS", ["Max-Forwards", "1"])).toBe("admitted");
    expect(reasonOf("GET", ["Max-Forwards", "0"])).toBe("admitted");
  });
});

describe("what is no request is named", () => {
  const named = (text: string) => nameUnread(Buffer.from(text, "latin1")).reason;

  test("by its first bytes", () => {
    expect(named("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03")).toBe("tls_on_plain_port");
    expect(named("\x16")).toBe("tls_on_plain_port");
    expect(named("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).toBe("http2_on_plain_port");
    expect(named("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n")).toBe("proxy_protocol");
    expect(named("PROXY TCP6 ::1 ::1 1 2\r\n")).toBe("proxy_protocol");
    expect(named("PROXY UNKNOWN\r\n")).toBe("proxy_protocol");
    expect(named("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c")).toBe("proxy_protocol");
    expect(named("\0\r\nQUIT\n\x21\x11\0\x0c")).toBe("proxy_protocol");
    expect(named("GET / HTTP/2.0\r\n")).toBe("version_not_supported");
    expect(named("GET / HTTP/3.1\r\n")).toBe("version_not_supported");
    expect(named("GET / HTTP/0.9\r\n")).toBe("bad_request");
    expect(named("\x16\x02")).toBe("bad_request");
    expect(named("PROXY is what it says\r\n")).toBe("bad_request");
    expect(named("")).toBe("bad_request");
  });
});

/** One request through a router, and what came of it: the reply, the reason, and how often the pod was connected to. */
async function ask(text: (scene: Scene) => string) {
  const scene = await Scene.open();
  scene.pod.answerAll(OK);
  const client = await scene.send(text(scene));
  const reply = await client.until(/\r\n\r\n/);
  const { reason } = await scene.router.record(0);
  return { scene, client, reply, reason, connects: scene.router.counts.connects };
}

describe("at a router", () => {
  const wrap = (field: string) => (field === "" ? [] : [field]);

  test.each([
    ["a plain head", "", "/x"],
    ["a head with a token", "X-Request-Id: a", "/x"],
    ["a Connection field", "Connection: keep-alive, x", "/x"],
    ["an upgrade", "Connection: Upgrade\r\nUpgrade: websocket", "/x"],
    ["absolute-form", "", "http://HOST/x"],
    ["authority-form", "", "HOST"],
  ])("CONNECT and TRACE reach no pod: %s", async (_name, field, target) => {
    for (const method of ["CONNECT", "TRACE"]) {
      if (method === "TRACE" && target === "HOST") continue;
      const { client, reply, reason, connects } = await ask((scene) =>
        scene.head(`${method} ${target.replace("HOST", scene.host)}`, ...wrap(field)),
      );
      expect(reply).toMatch(/^HTTP\/1\.1 405 /);
      expect(reply).toContain("GET, HEAD, POST");
      expect(reason).toBe("method_not_allowed");
      expect(connects).toBe(0);
      await client.untilClosed();
    }
  });

  test("a pod that turns its connection into a tunnel gets no next request on it", async () => {
    const scene = await Scene.open();
    scene.pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const attacker = await scene.send(scene.head("CONNECT /x"));
    await attacker.until("405");
    const victim = await scene.send(scene.head("GET /private", "Cookie: secret"));
    await victim.until("200 OK");
    expect(scene.pod.connections.length).toBe(1);
    expect(scene.router.records.map(({ reason }) => reason)).toEqual(["method_not_allowed", "ok"]);
  });

  test("a request that comes back is refused, and others pass with Via", async () => {
    const scene = await Scene.open({ server: { viaPseudonym: NAME } });
    let seen = "";
    scene.pod.answerAll((head) => {
      seen = head;
      return OK;
    });
    const client = await scene.send(scene.head("GET /", "Via: 1.0 fred"));
    await client.until("200 OK");
    expect(seen).toContain("Via: 1.0 fred\r\n");
    expect(seen).toContain(`Via: 1.1 ${NAME}\r\n`);
    const looped = await scene.send(scene.head("GET /", `Via: 1.0 fred, 1.1 ${NAME}`));
    expect(await looped.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 508 Loop Detected\r\n/);
    expect((await scene.router.record(1)).reason).toBe("loop_detected");
    expect(scene.router.counts.connects).toBe(1);
  });

  test("an upgrade and HTTP/1.0 carry Via as well, with the version that they came in", async () => {
    const scene = await Scene.open({ server: { viaPseudonym: NAME } });
    const { head } = await scene.begin("GET /ws", ["Connection: Upgrade", "Upgrade: websocket"]);
    expect(head).toContain(`1.1 ${NAME}`);
    await scene.send(`GET / HTTP/1.0\r\nHost: ${scene.host}\r\n\r\n`);
    expect(await (await scene.pod.connection(1)).until("\r\n\r\n")).toContain(`1.0 ${NAME}`);
  });

  test("a router that is its own pod answers once, and does not loop till its limits", async () => {
    const scene = await Scene.open();
    const { port } = scene.router;
    const client = await scene.send(`GET / HTTP/1.1\r\nHost: ${port}-box.example.com\r\n\r\n`);
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 508 /);
    expect(scene.router.counts.connects).toBe(1);
  });

  test("OPTIONS with Max-Forwards is answered at 0 and counted down above", async () => {
    const { reply, connects } = await ask((scene) => scene.head("OPTIONS /x", "Max-Forwards: 0"));
    expect(reply).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(reply).toContain("max_forwards");
    expect(connects).toBe(0);
    const scene = await Scene.open();
    const { head } = await scene.begin("OPTIONS /x", ["Max-Forwards: 2"]);
    expect(head).toContain("Max-Forwards: 1\r\n");
  });

  test.runIf(LANE === "fast").each(["GET / HTTP/1.2", "GET / HTTP/1.9"])(
    "%s is taken and passed on as HTTP/1.1 (RFC 9110 2.5)",
    async (line) => {
      const scene = await Scene.open();
      const client = await scene.send(`${line}\r\nHost: ${scene.host}\r\n\r\n`);
      const inside = await scene.pod.connection(0);
      expect(await inside.until("\r\n\r\n")).toMatch(/^GET \/ HTTP\/1\.1\r\n/);
      inside.write(OK);
      expect(await client.until("ok")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    },
  );

  test.runIf(LANE === "fast")("an upgrade of HTTP/1.2 is taken as one of HTTP/1.1", async () => {
    const scene = await Scene.open();
    await scene.send(
      `GET /ws HTTP/1.2\r\nHost: ${scene.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );
    const inside = await scene.pod.connection(0);
    expect(await inside.until("\r\n\r\n")).toMatch(/^GET \/ws HTTP\/1\.1\r\n/);
  });

  test.each([
    ["TLS", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "tls_on_plain_port", "400"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2_on_plain_port", "505"],
    ["the PROXY protocol, version 1", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "proxy_protocol", "400"],
    ["the PROXY protocol, version 2", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "proxy_protocol", "400"],
    ["HTTP/2.0 in a request line", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "version_not_supported", "505"],
  ])("%s is named in the reply, the record and the log, and ends the connection", async (...each) => {
    const [, bytes, reason, status] = each;
    const told: string[] = [];
    const log = { debug() {}, info: (line: string) => void told.push(line), warn() {}, error() {} };
    // Where it is on, the preface begins a connection of HTTP/2 (h2/).
    const http2 = { ...DEFAULTS.http2, enabled: false };
    const scene = await Scene.open({ server: { log, http2 } });
    const client = await scene.send(bytes);
    expect(await client.until("\r\n\r\n")).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(client.received).toContain(reason);
    expect((await scene.router.record(0)).reason).toBe(reason);
    await client.untilClosed();
    if (reason !== "version_not_supported") expect(told).toEqual([`request refused: ${reason}`]);
  });

  test.each([
    ["two Hosts", "Host: a"],
    ["a bad request ID and two Hosts", "Host: b\r\nX-Request-Id: ü"],
  ])("after a 400 the connection closes: %s", async (_name, field) => {
    const { client, reply } = await ask((scene) => scene.head("GET /", field));
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply.toLowerCase()).toContain("connection: close\r\n");
    await client.untilClosed();
  });
});

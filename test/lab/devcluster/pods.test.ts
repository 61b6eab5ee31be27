import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { IpAllocator } from "../../../lab/devcluster/ip-allocator.ts";
import { type Pod, Pods } from "../../../lab/devcluster/pods.ts";
import { eventually } from "../../support/eventually.ts";
import { call } from "./support.ts";

const pods = new Pods({ firstIp: "127.71.1.1", ipCount: 8 });
afterEach(() => pods.stopAll());

let made = 0;
const start = (): Promise<Pod> => {
  const podUid = `uid-${++made}`;
  return pods.start({ podUid, sandboxId: `id-${made}`, namespace: "ns", name: `s${made}` });
};
const at = (pod: Pod, port = 3000): { url: string } => ({ url: `http://${pod.ip}:${port}` });

describe("a pod", () => {
  it("says who it is on each of its ports", async () => {
    const pod = await start();
    for (const port of [49983, 3000]) {
      const { status, headers, body } = await call(at(pod, port), "/any/%2Fpath?q=1", {
        method: "POST",
        body: { a: 1 },
      });
      expect([status, headers["x-pod-uid"]]).toEqual([200, pod.uid]);
      expect(body).toMatchObject({ ...pod.identity, port, method: "POST", path: "/any/%2Fpath?q=1" });
      expect(body.host).toBe(`${pod.ip}:${port}`);
    }
    pod.setSandboxId("another");
    expect((await call(at(pod), "/")).body.sandboxId).toBe("another");
  });

  it.each(["//", "//a//../b", "/%zz", "/?a?b", "/a;b:c@d"])(
    "answers to the path %s, as it came",
    async (path) => {
      const pod = await start();
      expect((await call(at(pod), path)).body.path).toBe(path);
    },
  );

  it("answers with the status, the size and the delay that are asked for", async () => {
    const pod = await start();
    expect((await call(at(pod), "/status/418")).status).toBe(418);
    expect((await call(at(pod), "/status/99999")).status).toBe(599);
    expect((await call(at(pod), "/size/300000")).body).toHaveLength(300_000);
    expect((await call(at(pod), "/slow?ms=1")).headers["x-pod-uid"]).toBe(pod.uid);
  });

  it("echoes a body while it is still being sent", async () => {
    const pod = await start();
    const outgoing = request(`http://${pod.ip}:3000/echo`, { method: "POST", agent: false });
    outgoing.write("first");
    const [response] = await once(outgoing, "response");
    expect(String((await once(response, "data"))[0])).toBe("first");
    const end = once(response, "end");
    outgoing.end("second");
    expect(String((await once(response, "data"))[0])).toBe("second");
    await end;
  });

  it("sends events", async () => {
    const pod = await start();
    const { body } = await call(at(pod), "/events?everyMs=1&count=3");
    for (const n of [1, 2, 3]) expect(body).toContain(`id: ${n}\n`);
    expect(body).not.toContain("id: 4");
    expect(body).toContain(`"podUid":"${pod.uid}"`);
  });

  it("echoes over a WebSocket after it said who it is", async () => {
    const pod = await start();
    const socket = new WebSocket(`ws://${pod.ip}:3000/ws`);
    const messages: [string, boolean][] = [];
    socket.on("message", (data, isBinary) => messages.push([(data as Buffer).toString(), isBinary]));
    await once(socket, "open");
    socket.send("text");
    socket.send(Buffer.from("bytes"));
    await eventually(() => messages.length === 3);
    expect(JSON.parse(messages[0]?.[0] ?? "")).toMatchObject({ podUid: pod.uid, path: "/ws" });
    expect(messages.slice(1)).toEqual([
      ["text", false],
      ["bytes", true],
    ]);
    socket.terminate();
    await eventually(() => pod.connections === 0);
  });

  it("dies at once: every connection is reset, the ports refuse", async () => {
    const pod = await start();
    const idle = connect(3000, pod.ip);
    await once(idle, "connect");
    const slow = call(at(pod), "/slow?ms=60000");
    const slowEnd = expect(slow).rejects.toMatchObject({ code: "ECONNRESET" });
    await eventually(() => pod.connections === 2);
    const reset = once(idle, "error");
    await pods.stop(pod);
    expect((await reset)[0]).toMatchObject({ code: "ECONNRESET" });
    await slowEnd;
    await expect(call(at(pod), "/")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("ends gracefully: what runs may finish", async () => {
    const pod = await start();
    const slow = call(at(pod), "/slow?ms=100");
    await eventually(() => pod.connections === 1);
    const stopped = pods.stop(pod, 10_000);
    expect((await slow).status).toBe(200);
    await stopped;
    await eventually(() => pod.connections === 0);
    await expect(call(at(pod), "/")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});

describe("pod addresses", () => {
  it("go to the next pod as soon as the one before is dead", async () => {
    const first = await start();
    await start();
    await pods.stop(first);
    const next = await start();
    expect(next.ip).toBe(first.ip);
    expect((await call(at(next), "/")).body.podUid).toBe(next.uid);
  });

  it("are passed over while another program has their ports", async () => {
    const other = new Pods({ firstIp: "127.71.1.1", ipCount: 8 });
    const mine = await start();
    const theirs = await other.start({ podUid: "x", sandboxId: "x", namespace: "x", name: "x" });
    expect(theirs.ip).not.toBe(mine.ip);
    await other.stopAll();
  });

  it("run out", () => {
    const addresses = new IpAllocator("127.0.64.255", 2);
    expect([addresses.allocate(), addresses.allocate()]).toEqual(["127.0.64.255", "127.0.65.0"]);
    expect(() => addresses.allocate()).toThrow(expect.objectContaining({ code: "POD_ADDRESSES_EXHAUSTED" }));
    addresses.release("127.0.65.0");
    expect(addresses.allocate()).toBe("127.0.65.0");
  });

  it.each([
    ["10.0.0.1", 1],
    ["127.0.0.256", 1],
    ["127.0.0.1", 0],
    ["127.255.255.250", 100],
  ])("must lie on loopback: %s and %d", (firstIp, count) => {
    expect(() => new IpAllocator(firstIp, count)).toThrow(RangeError);
  });
});

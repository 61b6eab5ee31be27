import { describe, expect, it } from "vitest";
import type { Outcome } from "../../src/routes/outcome.ts";
import { pushOf, startPeerServer } from "./peer-fixture.ts";

const INVALID = "invalid route refresh payload\n";

interface RefreshCase {
  readonly name: string;
  readonly body: unknown;
  readonly status: number;
  /** What the sink is asked; absent: nothing. */
  readonly asks?: "update" | "delete";
  readonly outcome?: Outcome;
  readonly result: string;
}

// The 13 handler cases of docs/openkruise.md#cases, in their order, then the rest of the table in
// docs/peers.md#post-refresh.
const CASES: readonly RefreshCase[] = [
  { name: "not JSON", body: "not-json", status: 400, result: "malformed" },
  { name: "over 1 MiB", body: `{"id":"${"x".repeat(1 << 20)}"}`, status: 413, result: "too_large" },
  {
    name: "dead with an ID only changes nothing",
    body: { id: "legacy", state: "dead" },
    status: 204,
    result: "id_only",
  },
  {
    name: "dead without a resourceVersion",
    body: { namespace: "ns", name: "sandbox", state: "dead" },
    status: 400,
    result: "invalid",
  },
  {
    name: "dead with a resourceVersion",
    body: { namespace: "ns", name: "sandbox", state: "dead", resourceVersion: "2" },
    status: 204,
    asks: "delete",
    result: "applied",
  },
  { name: "running", body: pushOf(), status: 204, asks: "update", result: "applied" },
  {
    name: "available, ignored as stale",
    body: pushOf({ state: "available" }),
    status: 204,
    asks: "update",
    outcome: "ignored_stale",
    result: "ignored",
  },
  { name: "paused", body: pushOf({ state: "paused" }), status: 204, asks: "update", result: "applied" },
  { name: "creating", body: pushOf({ state: "creating" }), status: 204, asks: "update", result: "applied" },
  {
    name: "a state of the future",
    body: pushOf({ state: "future-state" }),
    status: 204,
    asks: "update",
    result: "applied",
  },
  {
    name: "no name",
    body: pushOf({ name: undefined }),
    status: 400,
    asks: "update",
    outcome: "invalid_key",
    result: "invalid",
  },
  {
    name: "an update whose resourceVersion is no version",
    body: pushOf({ resourceVersion: "invalid" }),
    status: 400,
    asks: "update",
    outcome: "invalid_resource_version",
    result: "invalid",
  },
  {
    name: "a deletion whose resourceVersion is no version",
    body: pushOf({ state: "dead", resourceVersion: "invalid" }),
    status: 400,
    asks: "delete",
    outcome: "invalid_resource_version",
    result: "invalid",
  },
  { name: "an empty body", body: "", status: 400, result: "malformed" },
  { name: "a wrong type", body: pushOf({ resourceVersion: 2 }), status: 400, result: "malformed" },
  {
    name: "running with an ID only",
    body: { id: "legacy", state: "running" },
    status: 204,
    result: "id_only",
  },
  {
    name: "an empty state",
    body: pushOf({ state: "" }),
    status: 204,
    asks: "update",
    result: "applied",
  },
  {
    name: "dead in other letters is a state of the future",
    body: pushOf({ state: "Dead" }),
    status: 204,
    asks: "update",
    result: "applied",
  },
  {
    name: "null, which is an empty push",
    body: "null",
    status: 400,
    asks: "update",
    outcome: "invalid_key",
    result: "invalid",
  },
  {
    name: "data after the first value",
    body: `${JSON.stringify(pushOf())} {"state":"dead"}`,
    status: 204,
    asks: "update",
    result: "applied",
  },
  {
    name: "keys in any case, the last one winning",
    body: '{"NAMESPACE":"ns","Name":"sandbox","STATE":"running","State":"dead","ResourceVersion":"2"}',
    status: 204,
    asks: "delete",
    result: "applied",
  },
];

describe("POST /refresh", () => {
  it.each(CASES)("$name → $status", async ({ body, status, asks, outcome, result }) => {
    await using peer = await startPeerServer();
    peer.sink.updateOutcome = outcome ?? "applied";
    peer.sink.deleteOutcome = outcome ?? "applied";

    const reply = await peer.push(body);

    expect(reply.status).toBe(status);
    expect(reply.text).toBe(
      status === 204 ? "" : status === 413 ? "route refresh payload too large\n" : INVALID,
    );
    expect(peer.sink.calls.map(({ kind }) => kind)).toEqual(asks === undefined ? [] : [asks]);
    expect(peer.results).toHaveLength(1);
    expect(peer.results[0]?.result).toBe(result);
    expect(peer.results[0]?.push?.outcome).toBe(asks === undefined ? undefined : (outcome ?? "applied"));
  });

  it("hands on every field as it was pushed", async () => {
    await using peer = await startPeerServer();
    await peer.push(pushOf({ accessToken: "sekrit", requireTrafficAuth: true, state: "paused" }));
    expect(peer.sink.calls).toEqual([
      {
        kind: "update",
        route: {
          ip: "10.0.0.1",
          id: "short",
          namespace: "ns",
          name: "sandbox",
          uid: "uid",
          owner: "owner",
          state: "paused",
          resourceVersion: "2",
          accessToken: "sekrit",
          requireTrafficAuth: true,
        },
      },
    ]);
  });

  it("hands on of a deletion the key and the version only", async () => {
    await using peer = await startPeerServer();
    await peer.push(pushOf({ state: "dead", id: "", uid: "" }));
    expect(peer.sink.calls).toEqual([
      { kind: "delete", push: { namespace: "ns", name: "sandbox", resourceVersion: "2" } },
    ]);
  });

  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["2001:db8::1", "2001:db8::1"],
    ["", ""],
    ["[2001:db8::1]", ""],
    ["fe80::1%eth0", ""],
    ["10.0.0.1:80", ""],
    ["metadata.google.internal", ""],
    ["127.1", ""],
  ])("keeps ip %j as %j", async (ip, kept) => {
    await using peer = await startPeerServer();
    expect((await peer.push(pushOf({ ip }))).status).toBe(204);
    expect(peer.sink.calls).toMatchObject([{ route: { ip: kept } }]);
  });

  it("replies to errors with the headers of Go's http.Error, and to success with none of its own", async () => {
    await using peer = await startPeerServer();
    const refused = await peer.push("not-json");
    expect(refused.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(refused.headers.get("x-content-type-options")).toBe("nosniff");
    const accepted = await peer.push(pushOf());
    expect(accepted.headers.get("content-type")).toBeNull();
    expect(accepted.headers.get("content-length")).toBeNull();
  });

  it("tells the observer what the table judged, and when it came", async () => {
    let nowMs = 41;
    const clock = { nowMs: () => 0, monotonicMs: () => nowMs, setTimeout: () => ({ clear() {} }) };
    await using peer = await startPeerServer({ clock });
    nowMs = 42;
    await peer.push(pushOf({ accessToken: "sekrit" }));
    expect(peer.results).toEqual([
      {
        result: "applied",
        push: {
          kind: "update",
          namespace: "ns",
          name: "sandbox",
          resourceVersion: "2",
          outcome: "applied",
          arrivedMs: 42,
        },
      },
    ]);
  });

  it("answers 500 when the table fails, and lives", async () => {
    const logged: unknown[] = [];
    const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void logged.push(message) };
    await using peer = await startPeerServer({
      log,
      sink: {
        pushUpdate() {
          throw new Error("broken");
        },
        pushDelete: () => "applied",
      },
    });
    expect((await peer.push(pushOf())).status).toBe(500);
    expect((await peer.push(pushOf({ state: "dead" }))).status).toBe(204);
    expect(logged).toEqual(["answering a peer failed"]);
  });

  it("writes no token to the log, whatever is wrong with the push", async () => {
    const lines: string[] = [];
    const write = (message: string, fields?: unknown) => void lines.push(message + JSON.stringify(fields));
    await using peer = await startPeerServer({
      log: { debug: write, info: write, warn: write, error: write },
    });
    peer.sink.updateOutcome = "invalid_uid";
    await peer.push(pushOf({ accessToken: "sekrit-1" }));
    await peer.push('{"accessToken":"sekrit-2",,}');
    await peer.push('{"accessToken":["sekrit-3"]}');
    await peer.push('{"accessToken":"sekrit-4","namespace":"ns","name":"n","state":"dead"}');
    expect(lines).toHaveLength(4);
    expect(lines.join("\n")).not.toContain("sekrit");
  });
});

import { describe, expect, it } from "vitest";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { pushOf, startPeerServer } from "./peer-fixture.ts";
import { newTable } from "../support/defaults.ts";

describe("pushes that arrive late", () => {
  it("never bring a route back, and are answered as if they had been taken", async () => {
    const table = newTable({ scopes: [""] });
    table.relist("", "10" as ResourceVersion, [], 0);
    await using peer = await startPeerServer({
      sink: {
        pushUpdate: (route) => table.pushUpdate(route, 0),
        pushDelete: (push) => table.pushDelete(push, 0),
      },
    });
    const state = () => {
      const found = table.lookup("short");
      return found.kind === "found" ? found.state : found.kind;
    };

    expect((await peer.push(pushOf({ resourceVersion: "20" }))).status).toBe(204);
    expect(state()).toBe("running");
    expect((await peer.push(pushOf({ resourceVersion: "21", state: "dead" }))).status).toBe(204);
    expect(state()).toBe("unknown");
    expect((await peer.push(pushOf({ resourceVersion: "20" }))).status).toBe(204);
    expect((await peer.push(pushOf({ resourceVersion: "21" }))).status).toBe(204);
    expect(state()).toBe("unknown");
    // The informer has passed the deletion; its tombstone is no longer needed.
    table.bookmark("", "30" as ResourceVersion, 0);
    expect((await peer.push(pushOf({ resourceVersion: "22" }))).status).toBe(204);
    expect(state()).toBe("unknown");
    expect(peer.results.map(({ push }) => push?.outcome)).toEqual([
      "applied",
      "applied",
      "ignored_tombstone",
      "ignored_tombstone",
      "ignored_watermark",
    ]);
    // A later life of the object is another matter.
    expect((await peer.push(pushOf({ resourceVersion: "31", uid: "uid-2" }))).status).toBe(204);
    expect(state()).toBe("running");
  });

  it("that the table refuses as invalid are answered 400 and change nothing", async () => {
    const table = newTable({ scopes: "none" });
    await using peer = await startPeerServer({
      sink: {
        pushUpdate: (route) => table.pushUpdate(route, 0),
        pushDelete: (push) => table.pushDelete(push, 0),
      },
    });
    const bad = [
      pushOf({ namespace: "" }),
      pushOf({ name: "" }),
      pushOf({ id: "" }),
      pushOf({ uid: "" }),
      pushOf({ resourceVersion: "" }),
      pushOf({ resourceVersion: "0" }),
      pushOf({ resourceVersion: "01" }),
      pushOf({ resourceVersion: "rv" }),
      pushOf({ state: "dead", namespace: "" }),
      pushOf({ state: "dead", name: "" }),
      pushOf({ state: "dead", resourceVersion: "01" }),
      {},
    ];
    for (const push of bad) {
      const reply = await peer.push(push);
      expect([reply.status, reply.text], JSON.stringify(push)).toEqual([
        400,
        "invalid route refresh payload\n",
      ]);
    }
    expect([...table.keys()]).toEqual([]);
    expect((await peer.push(pushOf({ resourceVersion: "18446744073709551616" }))).status).toBe(204);
  });
});

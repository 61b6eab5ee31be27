import { connect } from "node:net";

import { expect, test } from "vitest";

import { resetSocket } from "../../src/proxy/upstream/reset-socket.ts";
import { eventually } from "../support/eventually.ts";
import { RawPeer, RawPod } from "./support/raw-peer.ts";

test.each(["open", "ending", "connecting"])("a socket that is %s is closed, and says so", async (state) => {
  const pod = await RawPod.listen();
  const socket = connect(pod.port, "127.0.0.1");
  const peer = new RawPeer(socket);
  if (state !== "connecting") {
    await pod.connection(0);
    await eventually(() => !socket.connecting);
  }
  if (state === "ending") socket.end();
  resetSocket(socket);
  await peer.untilClosed();
  expect(peer.errorCode).toBeUndefined();
  const inside = state === "connecting" ? undefined : await pod.connection(0);
  if (state === "open") await eventually(() => inside?.errorCode === "ECONNRESET");
  await pod.close();
});

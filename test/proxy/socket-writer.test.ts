import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";

import { SocketWriter } from "../../src/proxy/transport/socket-writer.ts";
import { Transport } from "../../src/proxy/transport/transport.ts";
import { findShortcuts, hasSharedBuffer } from "../../src/proxy/transport/undocumented-node.ts";
import { eventually } from "../support/eventually.ts";

/** More than the kernel takes of a connection that nobody reads. */
const FLOOD_BYTES = 16 * 1024 * 1024;
const { writes } = await findShortcuts();
/** With the writes of this Node's handles where they work; the same must come out of both. */
const WAYS = writes ? ([true, false] as const) : ([false] as const);

const open: { destroy(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.destroy();
});

/** A writer on one end of a connection, and what the other end gets once it reads. */
async function pair(isDirect: boolean) {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const peer = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  server.close();
  open.push(peer, socket);
  const got: Buffer[] = [];
  const errors: NodeJS.ErrnoException[] = [];
  socket.on("error", (error) => errors.push(error));
  peer.on("error", () => {});
  return {
    socket,
    peer,
    writer: new SocketWriter(socket, isDirect),
    errors,
    read: () => peer.on("data", (bytes: Buffer) => got.push(bytes)),
    got: () => Buffer.concat(got),
  };
}

test("a Node that the project runs on does all that auto asks for; 24 does the reads", async () => {
  const isCurrent = Number(process.versions.node.split(".")[0]) >= 26;
  expect(await findShortcuts()).toEqual({ reads: true, writes: isCurrent });
  expect(await new Transport().prepare("off")).toEqual({ reads: false, writes: false });
  expect(await new Transport().prepare("auto")).toEqual({ reads: true, writes: isCurrent });
});

test("only sockets that were accepted with the shared buffer are written to directly: others may be of TLS", async () => {
  const transport = new Transport();
  await transport.prepare("auto");
  const { socket } = await pair(false);
  expect(hasSharedBuffer(socket)).toBe(false);
  socket.write = () => true;
  // Its own write was called, and nothing else.
  expect(transport.clientWriter(socket).text("x")).toBe(true);
  expect(socket.bytesWritten).toBe(0);
});

describe.each(WAYS)("direct writes: %s", (isDirect) => {
  test("bytes come in the order of the calls, whatever the sizes, with the socket's own writes and its end between", async () => {
    const piece = fc.record({
      by: fc.constantFrom("text", "bytes", "socket" as const),
      size: fc.oneof(fc.integer({ min: 1, max: 2_000 }), fc.constantFrom(16_384, 20_000, 70_000, 6_000_000)),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 8 }), async (pieces) => {
        const { socket, peer, writer, read, got } = await pair(isDirect);
        const sent = pieces.map(({ by, size }, index) => {
          const bytes = Buffer.alloc(size, 128 + index);
          if (by === "text") writer.text(bytes.toString("latin1"));
          else if (by === "bytes") writer.bytes(bytes);
          else socket.write(bytes);
          return bytes;
        });
        socket.end();
        read();
        await once(peer, "end");
        expect(got().equals(Buffer.concat(sent))).toBe(true);
        expect(writer.pending).toBe(0);
        peer.destroy();
        socket.destroy();
      }),
      { numRuns: 25 },
    );
  });

  test("what the kernel takes at once is not pending; what it does not is, until `drain`", async () => {
    const { socket, writer, read, got } = await pair(isDirect);
    expect(writer.text("a")).toBe(true);
    expect(writer.pending).toBe(0);
    let drains = 0;
    socket.on("drain", () => {
      drains += 1;
    });
    expect(writer.bytes(Buffer.alloc(FLOOD_BYTES))).toBe(false);
    expect(writer.needsDrain).toBe(true);
    expect(writer.pending).toBeGreaterThan(0);
    expect(drains).toBe(0);
    read();
    await eventually(() => drains > 0);
    expect([writer.pending, writer.needsDrain]).toEqual([0, false]);
    await eventually(() => got().length === FLOOD_BYTES + 1);
  });

  test("a peer that resets while a write waits: an error with its code, and the socket is closed", async () => {
    const { socket, peer, writer, errors } = await pair(isDirect);
    writer.bytes(Buffer.alloc(FLOOD_BYTES));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    peer.resetAndDestroy();
    await closed;
    expect(["ECONNRESET", "EPIPE"]).toContain(errors[0]?.code);
    expect(errors).toHaveLength(1);
    // Nobody is there: nothing is thrown, and nothing is written.
    writer.text("late");
    expect(socket.destroyed).toBe(true);
  });

  test("a write to a connection that is gone fails as the socket's own does", async () => {
    const { socket, peer, writer, errors } = await pair(isDirect);
    peer.resetAndDestroy();
    await eventually(() => {
      writer.text("x");
      return socket.destroyed;
    });
    await eventually(() => errors.length > 0);
    expect(["ECONNRESET", "EPIPE"]).toContain(errors[0]?.code);
  });

  test("a socket that is destroyed while a write waits: no error, and no `drain`", async () => {
    const { socket, writer, errors } = await pair(isDirect);
    let drains = 0;
    socket.on("drain", () => {
      drains += 1;
    });
    writer.bytes(Buffer.alloc(FLOOD_BYTES));
    const closed = once(socket, "close");
    socket.destroy();
    await closed;
    await new Promise((resolve) => setImmediate(resolve));
    expect([errors, drains]).toEqual([[], 0]);
  });
});

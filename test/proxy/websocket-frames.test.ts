import fc from "fast-check";
import { expect, test } from "vitest";

import { FrameBoundaryTracker } from "../../src/proxy/full/websocket-frames.ts";

interface Frame {
  readonly opcode: number;
  readonly length: number;
  readonly masked: boolean;
}

function bytesOf({ opcode, length, masked }: Frame): Buffer {
  const mask = masked ? 0x80 : 0;
  const header =
    length < 126
      ? Buffer.from([0x80 | opcode, mask | length])
      : length < 65_536
        ? Buffer.from([0x80 | opcode, mask | 126, length >> 8, length & 0xff])
        : Buffer.from([
            0x80 | opcode,
            mask | 127,
            0,
            0,
            0,
            0,
            0,
            length >> 16,
            (length >> 8) & 0xff,
            length & 0xff,
          ]);
  return Buffer.concat([header, Buffer.alloc(masked ? 4 : 0, 0x88), Buffer.alloc(length, 0x88)]);
}

const frames = fc.array(
  fc.record({
    opcode: fc.constantFrom(0, 1, 2, 9, 10),
    length: fc.oneof(fc.nat(130), fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000)),
    masked: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
);

test("knows every boundary, however the stream is cut into chunks", () => {
  fc.assert(
    fc.property(frames, fc.infiniteStream(fc.integer({ min: 1, max: 50_000 })), (sent, sizes) => {
      const stream = Buffer.concat(sent.map(bytesOf));
      const ends = new Set([0]);
      let end = 0;
      for (const frame of sent) ends.add((end += bytesOf(frame).length));
      const tracker = new FrameBoundaryTracker();
      let at = 0;
      for (const size of sizes) {
        expect(tracker.atBoundary).toBe(ends.has(at));
        if (at >= stream.length) break;
        tracker.push(stream.subarray(at, at + size));
        at = Math.min(at + size, stream.length);
      }
      expect(tracker.closeSeen).toBe(false);
    }),
  );
});

test("takes the rest of the present frame and not a byte more", () => {
  fc.assert(
    fc.property(frames, fc.nat(), (sent, seed) => {
      const stream = Buffer.concat(sent.map(bytesOf));
      const cut = seed % stream.length;
      const tracker = new FrameBoundaryTracker();
      tracker.push(stream.subarray(0, cut));
      const taken = tracker.pushToBoundary(stream.subarray(cut));
      let end = 0;
      for (const frame of sent) if (end < cut) end += bytesOf(frame).length;
      expect(cut + taken).toBe(end);
      expect(tracker.atBoundary).toBe(true);
    }),
  );
});

test("sees a close frame", () => {
  const tracker = new FrameBoundaryTracker();
  tracker.push(Buffer.from([0x82, 0x01, 0x88]));
  expect(tracker.closeSeen).toBe(false);
  tracker.push(Buffer.from([0x88, 0x02, 0x03, 0xe8]));
  expect(tracker.closeSeen).toBe(true);
});

import { createCipheriv } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { Keyring } from "../../../src/peers/memberlist/keyring.ts";
import { encodeMessage } from "../../../src/peers/memberlist/packet-messages.ts";
import { encodePushPull } from "../../../src/peers/memberlist/stream-messages.ts";
import type { MemberState, StreamMessage } from "../../../src/peers/memberlist/messages.ts";
import { MsgpackReader } from "../../../src/peers/memberlist/msgpack.ts";
import { openPacket, sealPacket } from "../../../src/peers/memberlist/packet.ts";
import { Refused } from "../../../src/peers/memberlist/refused.ts";
import { sealStream, StreamReader } from "../../../src/peers/memberlist/stream.ts";
import { compressed, type Wrapping } from "../../../src/peers/memberlist/wrapping.ts";

const plain: Wrapping = { label: "", keyring: undefined, compress: false };
const keys = [Buffer.alloc(32, 1), Buffer.alloc(16, 2), Buffer.alloc(24, 3)] as const;
const everyWay: Record<string, Wrapping> = {
  plain,
  compressed: { ...plain, compress: true },
  labelled: { ...plain, label: "sandboxes" },
  encrypted: { ...plain, keyring: new Keyring(keys) },
  "all three": { label: "ünïcode", keyring: new Keyring(keys), compress: true },
};
const MAX = 65_536;

const ack = (seqNo: number) => encodeMessage({ kind: "ack", seqNo });
const dead = (node: string) => encodeMessage({ kind: "dead", incarnation: 1, node, from: node });

describe("packets", () => {
  for (const [name, wrapping] of Object.entries(everyWay)) {
    test.each([1, 2, 255])(`${name}: %i messages, with and without a checksum`, (count) => {
      const messages = Array.from({ length: count }, (_, i) => ack(i));
      for (const checksum of [true, false]) {
        const { messages: read, refusals } = openPacket(
          sealPacket(messages, wrapping, checksum),
          wrapping,
          MAX,
        );
        expect(refusals).toEqual([]);
        expect(read).toEqual(Array.from({ length: count }, (_, seqNo) => ({ kind: "ack", seqNo })));
      }
    });
  }

  test("compression is left out where it does not help", () => {
    const wrapping = { ...plain, compress: true };
    expect(sealPacket([ack(1)], wrapping, false)).toEqual(ack(1));
    const many = Array.from({ length: 50 }, () => dead("some-long-name"));
    expect(sealPacket(many, wrapping, false).length).toBeLessThan(many.length * 20);
  });

  const { encrypted = plain, labelled = plain } = everyWay;
  const nested = (inner: Buffer) => compressed(inner);
  const compoundOf = (...parts: Buffer[]) => sealPacket([...parts, ack(9)], plain, false);
  test.each<[string, Buffer, Wrapping, string]>([
    ["one that is too long", Buffer.alloc(MAX + 1), plain, "too_large"],
    ["one that unpacks to too much", nested(Buffer.alloc(MAX + 1)), plain, "too_large"],
    ["an empty one", Buffer.alloc(0), plain, "malformed"],
    ["no label where there is one", ack(1), labelled, "label"],
    ["a label where there is none", sealPacket([ack(1)], labelled, false), plain, "label"],
    ["another label", sealPacket([ack(1)], { ...plain, label: "sandboxex" }, false), labelled, "label"],
    ["a label that is cut off", sealPacket([ack(1)], labelled, false).subarray(0, 5), labelled, "label"],
    ["plain text where there are keys", ack(1), encrypted, "encryption"],
    ["encryption where there are no keys", sealPacket([ack(1)], encrypted, false), plain, "malformed"],
    ["a compound in a compound", compoundOf(compoundOf(ack(1))), plain, "nesting"],
    ["a compressed one in a compound", compoundOf(nested(ack(1))), plain, "nesting"],
    ["a compressed one in a compressed one", nested(nested(ack(1))), plain, "nesting"],
    ["another compression", Buffer.from("0982a4416c676f01a3427566a0", "hex"), plain, "malformed"],
    ["a compound without its lengths", Buffer.from([7, 200, 0, 1]), plain, "malformed"],
  ])("%s is refused", (_, packet, wrapping, reason) => {
    const { messages, refusals } = openPacket(packet, wrapping, MAX);
    expect(messages.filter((message) => message.kind !== "ack" || message.seqNo !== 9)).toEqual([]);
    expect(refusals).toEqual([reason]);
  });

  test("a checksum that does not fit", () => {
    const packet = sealPacket([ack(1)], plain, true);
    packet[packet.length - 1] = 0xff;
    expect(openPacket(packet, plain, MAX)).toEqual({ messages: [], refusals: ["checksum"] });
  });

  test("one bad part of a compound does not take the others with it", () => {
    const packet = sealPacket([ack(1), Buffer.from([2, 0xc1]), ack(3)], plain, false);
    const { messages, refusals } = openPacket(packet, plain, MAX);
    expect(messages).toEqual([
      { kind: "ack", seqNo: 1 },
      { kind: "ack", seqNo: 3 },
    ]);
    expect(refusals).toEqual(["malformed"]);
    const cut = openPacket(packet.subarray(0, -1), plain, MAX);
    expect(cut.messages).toEqual([{ kind: "ack", seqNo: 1 }]);
    expect(cut.refusals).toEqual(["malformed", "malformed"]);
  });

  test("any bytes, and any change of a good packet, are read or refused", () => {
    const good = Object.values(everyWay).map(
      (wrapping) => [sealPacket([ack(1), dead("a"), dead("b")], wrapping, true), wrapping] as const,
    );
    const change = fc.record({
      which: fc.nat({ max: good.length - 1 }),
      at: fc.nat({ max: 60 }),
      put: fc.uint8Array({ maxLength: 8 }),
      drop: fc.nat({ max: 8 }),
    });
    fc.assert(
      fc.property(fc.oneof(change, fc.uint8Array({ maxLength: 200 })), (input) => {
        if (input instanceof Uint8Array) {
          for (const wrapping of Object.values(everyWay)) openPacket(Buffer.from(input), wrapping, MAX);
          return;
        }
        const [packet, wrapping] = good[input.which] ?? good[0]!;
        const { at, put, drop } = input;
        const changed = Buffer.concat([packet.subarray(0, at), put, packet.subarray(at + drop)]);
        const { refusals } = openPacket(changed, wrapping, MAX);
        // What is encrypted is either the same or refused.
        if (wrapping.keyring && !changed.equals(packet)) expect(refusals.length).toBe(1);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("keys", () => {
  const text = Buffer.from("text");
  const none = Buffer.alloc(0);

  test("any key of the ring opens, the first one seals", () => {
    for (const key of keys) {
      const sealed = new Keyring([key]).encrypt(text, none);
      expect(new Keyring(keys).decrypt(sealed, none)).toEqual(text);
    }
    const sealed = new Keyring(keys).encrypt(text, none);
    expect(new Keyring([keys[0]]).decrypt(sealed, none)).toEqual(text);
    expect(() => new Keyring([keys[1]]).decrypt(sealed, none)).toThrow("no key opens");
  });

  test("what is padded, as version 1 of the protocol has it, is opened", () => {
    const padded = (count: number) => {
      const nonce = Buffer.alloc(12, 5);
      const cipher = createCipheriv("aes-256-gcm", keys[0], nonce);
      const body = Buffer.concat([
        cipher.update(Buffer.concat([text, Buffer.alloc(12, count)])),
        cipher.final(),
      ]);
      return Buffer.concat([Uint8Array.of(0), nonce, body, cipher.getAuthTag()]);
    };
    expect(new Keyring(keys).decrypt(padded(12), none)).toEqual(text);
    for (const count of [0, 17, 255])
      expect(() => new Keyring(keys).decrypt(padded(count), none)).toThrow("padding");
  });

  test("a label belongs to what is sealed", () => {
    const sealed = new Keyring(keys).encrypt(text, Buffer.from("a"));
    expect(() => new Keyring(keys).decrypt(sealed, Buffer.from("b"))).toThrow(Refused);
  });

  test("a key of another length is told", () => {
    expect(() => new Keyring([keys[0], Buffer.alloc(31)])).toThrow("key 2 has 31 bytes, not 16, 24 or 32");
    expect(() => new Keyring([])).toThrow("at least one key");
  });
});

describe("streams", () => {
  const limits = { maxBytes: 100_000, maxStates: 100 };
  const state = (name: string): MemberState => ({
    name,
    addr: Buffer.from([10, 0, 0, 1]),
    port: 7946,
    meta: Buffer.alloc(0),
    incarnation: 1,
    status: "alive",
    versions: Buffer.from([1, 5, 2, 0, 0, 0]),
  });
  const states = Array.from({ length: 20 }, (_, i) => state(`member-${i}`));
  const pushPull = encodePushPull(true, states);

  /** Feeds `bytes` in pieces that end at `ends`, as a socket would. */
  function read(
    bytes: Buffer,
    wrapping: Wrapping,
    ends: readonly number[],
    side: "connects" | "answers" = "answers",
  ) {
    const reader = new StreamReader(wrapping, limits, side);
    let message: StreamMessage | undefined;
    for (const end of [...ends, bytes.length]) message ??= reader.read(bytes.subarray(0, end));
    return message;
  }
  function reasonOf(run: () => unknown): string {
    try {
      return run() === undefined ? "waits" : "taken";
    } catch (error) {
      if (error instanceof Refused) return error.reason;
      throw error;
    }
  }

  for (const [name, wrapping] of Object.entries(everyWay)) {
    test(`${name}: a message in pieces of any sizes`, () => {
      const sealed = sealStream(pushPull, wrapping, "connects");
      const pieces = fc.array(fc.nat({ max: sealed.length }), { maxLength: 20 });
      fc.assert(
        fc.property(pieces, (ends) => {
          const message = read(
            sealed,
            wrapping,
            ends.sort((a, b) => a - b),
          );
          expect(message).toEqual({ kind: "push_pull", join: true, states });
        }),
      );
      // The other side sends no label.
      const answer = sealStream(pushPull, wrapping, "answers");
      expect(read(answer, wrapping, [], "connects")).toEqual({ kind: "push_pull", join: true, states });
    });

    test(`${name}: a message that is cut off anywhere is waited for`, () => {
      const sealed = sealStream(pushPull, wrapping, "connects");
      for (let end = 0; end < sealed.length; end += 1)
        expect(
          reasonOf(() => new StreamReader(wrapping, limits, "answers").read(sealed.subarray(0, end))),
        ).toBe("waits");
    });
  }

  test("one byte at a time costs no more than a constant for each", () => {
    const many = encodePushPull(
      true,
      Array.from({ length: 100 }, (_, i) => state(`m${i}`)),
    );
    const reads = vi.spyOn(MsgpackReader.prototype, "readStruct");
    expect(read(many, plain, Array.from(many.keys()))).toMatchObject({ kind: "push_pull" });
    // Reading everything again for each byte would be 100 times as many.
    expect(reads.mock.calls.length).toBeLessThan(many.length + 200);
    reads.mockRestore();
  });

  const { encrypted = plain, labelled = plain } = everyWay;
  const oversized = Buffer.from([10, 0xff, 0xff, 0xff, 0xff, 1]);
  const zip = { ...plain, compress: true };
  test.each<[string, Buffer, Wrapping, string]>([
    ["one that is too long", Buffer.alloc(100_001), plain, "too_large"],
    ["an encrypted one that says that it is too long", oversized, encrypted, "too_large"],
    ["one that unpacks to too much", sealStream(Buffer.alloc(100_001), zip, "connects"), zip, "too_large"],
    [
      "more members than may be",
      encodePushPull(
        true,
        Array.from({ length: 101 }, () => state("x")),
      ),
      plain,
      "too_large",
    ],
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n"), plain, "unknown_type"],
    ["a type that streams do not have", Buffer.from([4, 0x80]), plain, "unknown_type"],
    ["no label where there is one", pushPull, labelled, "label"],
    ["a label where there is none", sealStream(pushPull, labelled, "connects"), plain, "label"],
    ["plain text where there are keys", pushPull, encrypted, "encryption"],
    ["encryption where there are no keys", sealStream(pushPull, encrypted, "connects"), plain, "encryption"],
    [
      "a compressed message that is cut off inside",
      sealStream(pushPull.subarray(0, -1), zip, "connects"),
      zip,
      "malformed",
    ],
    [
      "an encrypted message that is cut off inside",
      sealStream(pushPull.subarray(0, -1), encrypted, "connects"),
      encrypted,
      "malformed",
    ],
    [
      "a member in a state that does not exist",
      Buffer.concat([
        encodePushPull(true, [state("a")]).subarray(0, -12),
        Buffer.from([9, 0xa3]),
        Buffer.from("Vsn"),
        Buffer.from([0xa6, 1, 5, 2, 0, 0, 0]),
      ]),
      plain,
      "malformed",
    ],
  ])("%s is refused", (_, bytes, wrapping, reason) => {
    expect(reasonOf(() => read(bytes, wrapping, []))).toBe(reason);
  });

  test("any bytes are a message, waited for, or refused", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(...Object.values(everyWay)),
        (bytes, wrapping) => {
          reasonOf(() => read(Buffer.from(bytes), wrapping, [bytes.length >> 1]));
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalAddress } from "../../../src/system/ip-address.ts";
import { bytesOfHost, hostOfBytes, isUnicast } from "../../../src/peers/memberlist/endpoint.ts";
import { compressLzw, decompressLzw } from "../../../src/peers/memberlist/lzw.ts";
import { decodeMessage, encodeMessage } from "../../../src/peers/memberlist/packet-messages.ts";
import {
  encodeError,
  encodePushPull,
  StreamMessageReader,
} from "../../../src/peers/memberlist/stream-messages.ts";
import type { MemberState, Message, User } from "../../../src/peers/memberlist/messages.ts";
import { encodeStruct, MsgpackReader } from "../../../src/peers/memberlist/msgpack.ts";
import { Refused } from "../../../src/peers/memberlist/refused.ts";
import { compressed, decompressed } from "../../../src/peers/memberlist/wrapping.ts";
import { vector } from "./support/vectors.ts";

const versions = Buffer.from([1, 5, 2, 0, 0, 0]);
const four = Buffer.from([10, 1, 2, 3]);
const source = { addr: four, port: 7946, node: "sg-a" };
const noSource = { addr: Buffer.alloc(0), port: 0, node: "" };
const none = Buffer.alloc(0);

/** What `run` is refused for. */
function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Refused) return error.reason;
    throw error;
  }
  return "taken";
}

describe("messages are, byte for byte, what Go writes and reads", () => {
  const known: Record<string, Exclude<Message, User>> = {
    ping: { kind: "ping", seqNo: 7, node: "sm-b", source },
    "ping-bare": { kind: "ping", seqNo: 70_000, node: "", source: noSource },
    indirect_ping: {
      kind: "indirect_ping",
      seqNo: 300,
      node: "sm-b",
      target: four,
      port: 7946,
      nack: true,
      source,
    },
    ack: { kind: "ack", seqNo: 200 },
    nack: { kind: "nack", seqNo: 255 },
    suspect: { kind: "suspect", incarnation: 0xffff_fffe, node: "sm-b", from: "sg-a" },
    dead: { kind: "dead", incarnation: 5, node: "sm-b", from: "sm-b" },
    alive: { kind: "alive", incarnation: 1, node: "sm-b", addr: four, port: 7946, meta: none, versions },
    "alive-long": {
      kind: "alive",
      incarnation: 65_536,
      node: "x".repeat(200),
      addr: Buffer.alloc(16, 1),
      port: 65_535,
      meta: Buffer.alloc(512, 200),
      versions,
    },
  };
  for (const [kind, message] of Object.entries(known)) {
    // Go's vectors have names of their own.
    const name = kind.replaceAll("_", "-");
    test(kind, () => {
      expect(encodeMessage(message).toString("hex")).toBe(vector(name).toString("hex"));
      expect(decodeMessage(vector(name))).toEqual(message);
    });
  }

  const state = (name: string, status: MemberState["status"]): MemberState => ({
    name,
    addr: four,
    port: 7946,
    meta: none,
    incarnation: 3,
    status,
    versions,
  });
  const states = [state("a", "alive"), state("b", "suspect"), state("c", "dead"), state("d", "left")];

  test("a push/pull of members in all states", () => {
    expect(encodePushPull(true, states).toString("hex")).toBe(vector("push-pull").toString("hex"));
    const read = new StreamMessageReader(4).read(vector("push-pull"));
    expect(read).toEqual({ kind: "push_pull", join: true, states });
  });

  test("counts that Go writes as signed integers are read", () => {
    const one = encodePushPull(false, [state("n", "alive")]).subarray(encodePushPull(false, []).length);
    const bytes = Buffer.concat([
      vector("push-pull-300"),
      ...Array.from({ length: 300 }, () => one),
      Buffer.alloc(70_000),
    ]);
    const read = new StreamMessageReader(300).read(bytes);
    expect(read).toMatchObject({ kind: "push_pull", join: false });
    expect(read.kind === "push_pull" && read.states.length).toBe(300);
  });

  test("an error, and an ack with a payload, which only delegates send", () => {
    expect(encodeError("no").toString("hex")).toBe(vector("error").toString("hex"));
    expect(decodeMessage(vector("ack-payload"))).toEqual({ kind: "ack", seqNo: 200 });
  });

  test("any message survives its encoding", () => {
    const uint32 = fc.nat({ max: 0xffff_fffe });
    const name = fc.string({ minLength: 1, maxLength: 60, unit: "grapheme-ascii" });
    const address = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    const from = fc.record({ addr: address.map(Buffer.from), port: fc.nat({ max: 65_535 }), node: name });
    const message: fc.Arbitrary<Exclude<Message, User>> = fc.oneof(
      fc.record({ kind: fc.constant("ping" as const), seqNo: uint32, node: name, source: from }),
      fc.record({
        kind: fc.constant("indirect_ping" as const),
        seqNo: uint32,
        node: name,
        target: address.map(Buffer.from),
        port: fc.nat({ max: 65_535 }),
        nack: fc.boolean(),
        source: from,
      }),
      fc.record({ kind: fc.constantFrom("ack" as const, "nack" as const), seqNo: uint32 }),
      fc.record({
        kind: fc.constantFrom("suspect" as const, "dead" as const),
        incarnation: uint32,
        node: name,
        from: name,
      }),
      fc.record({
        kind: fc.constant("alive" as const),
        incarnation: uint32,
        node: name,
        addr: address.map(Buffer.from),
        port: fc.nat({ max: 65_535 }),
        meta: fc.uint8Array({ maxLength: 512 }).map(Buffer.from),
        versions: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(Buffer.from),
      }),
    );
    fc.assert(
      fc.property(message, (message) => {
        expect(decodeMessage(encodeMessage(message))).toEqual(message);
      }),
    );
  });
});

describe("messages that no honest member sends are refused", () => {
  const alive = (fields: Record<string, Uint8Array | string | number>) => {
    const all = { Addr: four, Incarnation: 1, Node: "n", Port: 1, Vsn: versions, ...fields };
    return Buffer.concat([Uint8Array.of(4), encodeStruct(Object.entries(all))]);
  };
  const dead = (fields: Record<string, string | number>) =>
    Buffer.concat([
      Uint8Array.of(5),
      encodeStruct(Object.entries({ From: "f", Incarnation: 1, Node: "n", ...fields })),
    ]);
  test.each<[string, Buffer, string]>([
    ["nothing at all", none, "malformed"],
    ["a type that packets do not have", Buffer.from([6, 0x80]), "unknown_type"],
    ["a type that does not exist", Buffer.from([99, 0x80]), "unknown_type"],
    ["no map", Buffer.from([0, 0x05]), "malformed"],
    ["a map that is cut off", Buffer.from([0, 0x81, 0xa5, 0x53]), "malformed"],
    ["a byte that MessagePack does not have", Buffer.from([0, 0xc1]), "malformed"],
    [
      "a container with more elements than any struct",
      Buffer.from([0, 0xdf, 0xff, 0xff, 0xff, 0xff]),
      "malformed",
    ],
    [
      "containers in containers",
      Buffer.from([0, 0x81, 0xa1, 0x41, ...Array.from({ length: 50 }, () => 0x91)]),
      "malformed",
    ],
    ["a name of 256 bytes", alive({ Node: "x".repeat(256) }), "too_large"],
    ["no name", alive({ Node: "" }), "malformed"],
    ["a name with a line break", alive({ Node: "a\nb" }), "malformed"],
    ["a name with an escape", alive({ Node: "\u001b[2J" }), "malformed"],
    ["a name that is no UTF-8", alive({ Node: Uint8Array.of(0xff) }), "malformed"],
    ["an address of 5 bytes", alive({ Addr: Buffer.alloc(5) }), "malformed"],
    ["metadata of 513 bytes", alive({ Meta: Buffer.alloc(513) }), "too_large"],
    ["a port above 65535", alive({ Port: 65_536 }), "malformed"],
    ["three versions: Go panics", alive({ Vsn: Uint8Array.of(1, 5, 2) }), "incompatible"],
    ["an incarnation that is text", alive({ Incarnation: "1" }), "malformed"],
    ["a dead that could not be refuted", dead({ Incarnation: 0xffff_ffff }), "malformed"],
    ["a seqNo that is negative", Buffer.from([2, 0x81, 0xa5, ...Buffer.from("SeqNo"), 0xff]), "malformed"],
    [
      "a seqNo with a fraction",
      Buffer.from([2, 0x81, 0xa5, ...Buffer.from("SeqNo"), 0xca, 0x3f, 0, 0, 1]),
      "malformed",
    ],
  ])("%s", (_, bytes, reason) => {
    expect(reasonOf(() => decodeMessage(bytes))).toBe(reason);
  });

  test("fields that are unknown are left out, and missing ones are zero, as in Go", () => {
    const bytes = Buffer.concat([Uint8Array.of(2), encodeStruct([["Later", "x"]])]);
    expect(decodeMessage(bytes)).toEqual({ kind: "ack", seqNo: 0 });
  });

  test("versions as an array, and byte strings of the new spec, are read as Go reads them", () => {
    const asArray = Buffer.concat([
      Buffer.from([4, 0x84, 0xc4, 4]),
      Buffer.from("Addr"),
      Buffer.from([0xc4, 4, ...four, 0xa4]),
      Buffer.from("Node"),
      Buffer.from([0xd9, 1, 0x6e, 0xa4]),
      Buffer.from("Port"),
      Buffer.from([0xcf, 0, 0, 0, 0, 0, 0, 0x1f, 0x0a, 0xa3]),
      Buffer.from("Vsn"),
      Buffer.from([0x96, 1, 5, 2, 0, 0, 0]),
    ]);
    expect(decodeMessage(asArray)).toMatchObject({ node: "n", port: 7946, addr: four, versions });
  });
});

describe("MessagePack", () => {
  test("a value that is cut off anywhere is truncated, never something else", () => {
    const whole = vector("alive-long").subarray(1);
    for (let end = 0; end < whole.length; end += 1) {
      const reader = new MsgpackReader(whole.subarray(0, end));
      expect(() => reader.read()).toThrow("truncated");
      expect(reader.offset).toBe(0);
    }
  });

  test("any bytes are a value or refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reader = new MsgpackReader(Buffer.from(bytes));
        const reason = reasonOf(() => reader.read());
        expect(["taken", "malformed"]).toContain(reason);
        expect(reader.offset).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("LZW", () => {
  const mixed = Buffer.from(Array.from({ length: 6_000 }, (_, i) => ((((i * i) >> 3) * 31) >> 2) & 0xff));
  test.each([
    ["lzw-empty", Buffer.alloc(0)],
    ["lzw-text", Buffer.from("hello hello hello hello")],
    ["lzw-zeros-10000", Buffer.alloc(10_000)],
    ["lzw-mixed-6000", mixed],
  ])("%s: the same bytes as Go's", (name, plain) => {
    expect(compressLzw(plain).equals(vector(name))).toBe(true);
    expect(decompressLzw(vector(name), plain.length).equals(plain)).toBe(true);
  });

  test("anything survives it, over several fillings of the table", () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 3_000, size: "max" }),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 7 }), fc.nat({ max: 800 }))
        .map(([bytes, times]) => Buffer.concat(Array.from({ length: times }, () => bytes))),
    );
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 12, size: "max" }), (chunks) => {
        const plain = Buffer.concat(chunks);
        expect(decompressLzw(compressLzw(plain), plain.length).equals(plain)).toBe(true);
      }),
    );
  });

  test("any bytes unpack, or are refused, within the bound", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 2_000 }), (bytes, max) => {
        try {
          expect(decompressLzw(bytes, max).length).toBeLessThanOrEqual(max);
        } catch (error) {
          expect(error).toBeInstanceOf(Refused);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("a bomb is refused at the bound, however much more is in it", () => {
    const bomb = compressLzw(Buffer.alloc(10_000_000));
    expect(bomb.length).toBeLessThan(50_000);
    expect(reasonOf(() => decompressLzw(bomb, 65_536))).toBe("too_large");
    const message = compressed(Buffer.alloc(100_000)).subarray(1);
    expect(reasonOf(() => decompressed(new MsgpackReader(message), 99_999))).toBe("too_large");
    expect(decompressed(new MsgpackReader(message), 100_000).length).toBe(100_000);
  });

  test("a full table that is not cleared, which other encoders may leave, is read", () => {
    // 4,000 literals without a clear code: the codes grow to 12 bits, and the table fills up.
    let bits = 0n;
    let length = 0n;
    let width = 9;
    let highest = 257;
    const emit = (code: number) => {
      bits |= BigInt(code) << length;
      length += BigInt(width);
    };
    emit(256);
    for (let i = 0; i < 4_000; i += 1) {
      emit(i % 251);
      if (i > 0 && highest < 4_095) highest += 1;
      if (highest + 1 === 1 << width && width < 12) width += 1;
    }
    // The last code of all was given when the 3,839th literal came, and stands for it and the one before.
    emit(4_095);
    emit(257);
    const hex = bits.toString(16);
    const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex").reverse();
    const plain = Array.from({ length: 4_000 }, (_, i) => i % 251);
    const last = [3_837 % 251, 3_838 % 251];
    expect(decompressLzw(bytes, 4_002).equals(Buffer.from([...plain, ...last]))).toBe(true);
  });
});

describe("addresses", () => {
  test.each([
    ["10.0.0.1", "0a000001"],
    ["::1", "00000000000000000000000000000001"],
    ["2001:db8::2:1", "20010db8000000000000000000020001"],
    ["fe80::", "fe800000000000000000000000000000"],
  ])("%s", (host, hex) => {
    expect(bytesOfHost(host)?.toString("hex")).toBe(hex);
    expect(hostOfBytes(Buffer.from(hex, "hex"))).toBe(host);
  });

  test("an IPv4 address in IPv6 is the IPv4 address, however it is written", () => {
    expect(hostOfBytes(Buffer.from("00000000000000000000ffff0a000001", "hex"))).toBe("10.0.0.1");
    expect(canonicalAddress("::ffff:10.0.0.1")).toBe("10.0.0.1");
    expect(canonicalAddress("2001:DB8:0:0::1")).toBe("2001:db8::1");
  });

  test("what is no address has no bytes", () => {
    for (const text of ["", "example.com", "10.0.0", "fe80::1%eth0", "010.0.0.1"])
      expect(bytesOfHost(text), text).toBeUndefined();
    expect(hostOfBytes(Buffer.alloc(5))).toBeUndefined();
  });

  test("any address survives", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const host = canonicalAddress(text);
        const bytes = bytesOfHost(host ?? "");
        expect(bytes && hostOfBytes(bytes)).toBe(host);
      }),
      { numRuns: 500 },
    );
  });

  test("nothing is sent to addresses that are not one host's", () => {
    const unicast = (host: string) => isUnicast(bytesOfHost(host) ?? Buffer.alloc(0));
    expect(["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"].filter(unicast)).toEqual([]);
    expect(["10.0.0.1", "127.0.0.1", "::1", "fd00::1"].every(unicast)).toBe(true);
  });
});

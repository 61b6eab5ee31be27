import { eventually } from "../../support/eventually.ts";
import { RawPeer } from "./raw-peer.ts";

/** RFC 9113 6. */
export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const FLAG = { END_STREAM: 1, ACK: 1, END_HEADERS: 4 } as const;

/** RFC 9113 7. */
export const ERROR = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  CANCEL: 8,
  ENHANCE_YOUR_CALM: 11,
} as const;

export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A field block of literals that are not indexed (RFC 7541 6.2.2), without Huffman coding: any bytes can be said. */
export function fieldBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  return Buffer.concat([integer(text.length), Buffer.from(text, "latin1")]);
}

/** With a prefix of 7 bits (RFC 7541 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const octets = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128);
  return Buffer.from([...octets, rest]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** A client that says whatever frames it likes. */
export class RawHttp2 {
  readonly peer: RawPeer;
  readonly frames: Frame[] = [];
  #read = 0;

  constructor(peer: RawPeer) {
    this.peer = peer;
    peer.socket.on("data", () => this.#parse());
  }

  /** Connects, and sends the preface and SETTINGS. */
  static async connect(port: number, settings: Uint8Array = Buffer.alloc(0)): Promise<RawHttp2> {
    const client = new RawHttp2(await RawPeer.connect(port));
    client.write(Buffer.from(PREFACE), frame(FRAME.SETTINGS, 0, 0, settings));
    return client;
  }

  write(...parts: readonly Uint8Array[]): void {
    if (this.peer.socket.writable) this.peer.socket.write(Buffer.concat(parts));
  }

  /** A request of these fields; `:method` GET, `:scheme` http and `:path` / unless they say otherwise. */
  request(
    stream: number,
    fields: readonly (readonly [string, string])[],
    flags: number = FLAG.END_HEADERS | FLAG.END_STREAM,
  ): void {
    this.write(frame(FRAME.HEADERS, flags, stream, fieldBlock(fields)));
  }

  /** Frames of this type, on this stream if one is named. */
  framesOf(type: number, stream?: number): Frame[] {
    return this.frames.filter(
      (each) => each.type === type && (stream === undefined || each.stream === stream),
    );
  }

  /** The first such frame, once it is there. */
  async until(type: number, stream?: number): Promise<Frame> {
    const found = await eventually(() => this.framesOf(type, stream)[0] ?? false, { everyMs: 2 });
    return found as Frame;
  }

  /** The error code of a RST_STREAM on the stream, once it is there. */
  async reset(stream: number): Promise<number> {
    return (await this.until(FRAME.RST_STREAM, stream)).payload.readUInt32BE(0);
  }

  /** The error code of the last GOAWAY, once the connection is closed; `undefined` without one. */
  async ended(): Promise<number | undefined> {
    await eventually(() => this.peer.closed || this.peer.ended, { everyMs: 2 });
    return this.framesOf(FRAME.GOAWAY).at(-1)?.payload.readUInt32BE(4);
  }

  /** A PING was answered: whatever was sent before it has been read. */
  async roundTrip(): Promise<void> {
    const mark = Buffer.from(String(this.#pings++).padStart(8, "0"));
    this.write(frame(FRAME.PING, 0, 0, mark));
    await eventually(
      () =>
        this.framesOf(FRAME.PING).some(({ flags, payload }) => flags === FLAG.ACK && payload.equals(mark)),
      { everyMs: 2 },
    );
  }
  #pings = 0;

  #parse(): void {
    const { received } = this.peer;
    for (;;) {
      const at = this.#read;
      if (received.length < at + 9) return;
      const head = Buffer.from(received.slice(at, at + 9), "latin1");
      const length = head.readUIntBE(0, 3);
      if (received.length < at + 9 + length) return;
      this.#read = at + 9 + length;
      this.frames.push({
        type: head[3] ?? 0,
        flags: head[4] ?? 0,
        stream: head.readUInt32BE(5) & 0x7fffffff,
        payload: Buffer.from(received.slice(at + 9, this.#read), "latin1"),
      });
    }
  }
}

/** The pseudo-header fields of a GET for a Host. */
export function get(authority: string, path = "/"): (readonly [string, string])[] {
  return [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", path],
    [":authority", authority],
  ];
}

/** The same of a POST. */
export function post(authority: string, path = "/"): (readonly [string, string])[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", authority],
  ];
}

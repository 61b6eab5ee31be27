import { constants } from "node:crypto";
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { createSecureContext, createServer } from "node:tls";
import type { SecureContext, SecureContextOptions, SecureVersion, Server, TLSSocket } from "node:tls";

import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import { readFirstBytes } from "../../system/first-bytes.ts";
import type { TlsFacts } from "../client/accepted.ts";
import { certificateChooser } from "./certificate-choice.ts";
import type { CertificatePair } from "./certificate-pair.ts";
import { handshakeResultOf } from "./handshake-result.ts";
import type { HandshakeResult } from "./handshake-result.ts";
import { TICKET_NAME_BYTES } from "./ticket-keys.ts";
import type { TicketKeys } from "./ticket-keys.ts";

/** What TLS works with, and what may change while it does. It can be sent to another process. */
export interface TlsMaterial {
  /** At least one; the first is for clients that ask for no name, or for one that none has. */
  readonly pairs: readonly CertificatePair[];
  /** PEM; needed unless `clientAuth` is `off`. */
  readonly clientCa: string | undefined;
  readonly ticketKeys: TicketKeys;
}

/** Settings that stay (docs/reference/configuration.md, `tls`). */
export interface TlsSettings {
  readonly clientAuth: "off" | "optional" | "required";
  readonly minVersion: SecureVersion;
  readonly handshakeTimeoutMs: Milliseconds;
  readonly maxHandshakes: number;
}

/** Options of {@link TlsAcceptor}. */
export interface TlsAcceptorOptions extends TlsSettings {
  /** What is offered by ALPN, best first. A client that wants none of it is refused. */
  readonly alpn: readonly Exclude<TlsFacts["alpn"], false>[];
  readonly material: TlsMaterial;
  readonly clock: Clock;
  /** Called once for each connection. Must not throw. */
  readonly ended: (result: HandshakeResult) => void;
  /** Gets a connection whose handshake is done, and the one below it. */
  readonly secured: (socket: TLSSocket, tls: TlsFacts, transport: Socket) => void;
  /** Gets one that is to be told, over TLS, that its certificate is `why`. */
  readonly refused: (socket: TLSSocket, why: "missing" | "invalid", tls: TlsFacts, transport: Socket) => void;
  /** Gets a paused connection whose first bytes are not of TLS; they were not put back. */
  readonly plain: (socket: Socket, bytes: Buffer) => void;
}

/** The record type of a handshake (RFC 8446 5.1). No method of HTTP begins with it. */
const HANDSHAKE = 22;

/** Ciphers with forward secrecy and authenticated encryption alone, as in Mozilla's "intermediate" set (RFC 9325 4.2). */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** The same for all processes, or a ticket of one would be void for the other. Node's default differs by arguments. */
const SESSION_CONTEXT = "lychgate";

/** A connection from its begin to the end of its handshake. */
interface Opening {
  readonly socket: Socket;
  readonly timer: TimerHandle;
  readonly onClose: () => void;
  /** What it will have come to when it is closed. */
  result: HandshakeResult;
}

interface Certificate {
  readonly context: SecureContext;
  readonly names: readonly string[];
}

/**
 * Shakes hands with clients. It does not listen: connections of which nothing was read, or all of it put back, are given to
 * {@link TlsAcceptor.take}. Certificates and keys can change at any time; connections that are open keep what they had.
 */
export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions;
  /** The same but for the key of their tickets: Node knows one at a time. */
  readonly #current: Server;
  readonly #previous: Server;
  /** By the address and port of the other side, the oldest first. */
  readonly #openings = new Map<string, Opening>();
  #certificates: readonly Certificate[] = [];
  #choose: (servername: string | undefined) => number = () => 0;
  #previousKeyName: Buffer = Buffer.alloc(0);

  constructor(options: TlsAcceptorOptions) {
    this.#options = options;
    this.#current = this.#newServer();
    this.#previous = this.#newServer();
    this.change(options.material);
  }

  /** Uses other certificates and keys for handshakes from now on. Throws, and changes nothing, when they are of no use. */
  change({ pairs, clientCa, ticketKeys }: TlsMaterial): void {
    const common: SecureContextOptions = {
      ciphers: CIPHERS,
      minVersion: this.#options.minVersion,
      sessionIdContext: SESSION_CONTEXT,
      sessionTimeout: ticketKeys.lifetimeS,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      ...(clientCa !== undefined && { ca: clientCa }),
    };
    const certificates = pairs.map(({ cert, key, names }) => {
      return { context: createSecureContext({ ...common, cert, key }), names };
    });
    const [first] = pairs;
    if (first === undefined) throw new Error("TLS needs a certificate");
    for (const [server, keys] of [
      [this.#current, ticketKeys.current],
      [this.#previous, ticketKeys.previous],
    ] as const) {
      server.setSecureContext({ ...common, cert: first.cert, key: first.key, ticketKeys: Buffer.from(keys) });
      server.setTicketKeys(Buffer.from(keys));
    }
    this.#certificates = certificates;
    this.#choose = certificateChooser(pairs.map(({ names }) => names));
    this.#previousKeyName = Buffer.from(ticketKeys.previous.subarray(0, TICKET_NAME_BYTES));
  }

  /** Takes a new connection, counted and admitted. */
  take(socket: Socket): void {
    const { clock, handshakeTimeoutMs, maxHandshakes, ended, plain } = this.#options;
    const key = keyOf(socket);
    const opening: Opening = {
      socket,
      timer: clock.setTimeout(() => this.#cut(opening, "timeout"), handshakeTimeoutMs),
      onClose: () => {
        this.#forget(key, opening);
        ended(opening.result);
      },
      result: "closed",
    };
    this.#openings.set(key, opening);
    // `close` follows; whoever takes the connection listens for errors of its own.
    socket.on("error", ignore);
    socket.once("close", opening.onClose);
    readFirstBytes(socket, (bytes) => {
      if (bytes[0] !== HANDSHAKE) {
        this.#forget(key, opening);
        ended("plain_text");
        plain(socket, bytes);
        return;
      }
      // The name of the key stands in the clear before each ticket (RFC 5077 4), wherever in the ClientHello that is.
      const isOld = bytes.includes(this.#previousKeyName);
      socket.unshift(bytes);
      (isOld ? this.#previous : this.#current).emit("connection", socket);
    });
    if (this.#openings.size <= maxHandshakes) return;
    const [oldest] = this.#openings.values();
    if (oldest) this.#cut(oldest, "evicted");
  }

  /** Breaks off the handshakes that are under way. */
  cut(): void {
    for (const opening of this.#openings.values()) this.#cut(opening, "closed");
  }

  #newServer(): Server {
    const server = createServer({
      ALPNProtocols: [...this.#options.alpn],
      requestCert: this.#options.clientAuth !== "off",
      // Judged below, so that it is counted and the client told why.
      rejectUnauthorized: false,
      SNICallback: (name, chosen) => chosen(null, this.#certificateFor(name)?.context),
      // Ours is earlier.
      handshakeTimeout: 2 * this.#options.handshakeTimeoutMs,
    });
    server.on("secureConnection", (socket) => this.#onSecure(socket));
    server.on("tlsClientError", (error, socket) => {
      const opening = this.#openings.get(keyOf(socket));
      if (opening) opening.result = handshakeResultOf(error);
      socket.destroy();
    });
    return server;
  }

  #certificateFor(servername: string | undefined): Certificate | undefined {
    return this.#certificates[this.#choose(servername)];
  }

  #onSecure(socket: TLSSocket): void {
    const key = keyOf(socket);
    const opening = this.#openings.get(key);
    if (opening === undefined) {
      // It was closed meanwhile, and is counted.
      socket.destroy();
      return;
    }
    const { clientAuth, ended, refused, secured } = this.#options;
    this.#forget(key, opening);
    const clientCertificate = clientAuth === "off" ? undefined : socket.getPeerX509Certificate();
    const servername = servernameOf(socket);
    const tls: TlsFacts = {
      alpn: socket.alpnProtocol === "h2" || socket.alpnProtocol === "http/1.1" ? socket.alpnProtocol : false,
      servername,
      certificateNames: this.#certificateFor(servername)?.names ?? [],
      ...(socket.authorized && clientCertificate && { clientCertificate }),
    };
    if (clientAuth === "required" && clientCertificate === undefined) {
      ended("client_certificate_missing");
      refused(socket, "missing", tls, opening.socket);
    } else if (clientCertificate !== undefined && !isGood(socket, clientCertificate, this.#options.clock)) {
      ended("client_certificate_invalid");
      refused(socket, "invalid", tls, opening.socket);
    } else {
      ended(socket.isSessionReused() ? "resumed" : "full");
      secured(socket, tls, opening.socket);
    }
  }

  #forget(key: string, opening: Opening): void {
    opening.timer.clear();
    opening.socket.off("close", opening.onClose);
    if (this.#openings.get(key) === opening) this.#openings.delete(key);
  }

  #cut(opening: Opening, result: HandshakeResult): void {
    opening.result = result;
    opening.timer.clear();
    opening.socket.destroy();
  }
}

function ignore(): void {}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Node has it as a string, or as false; its types do not know it. */
function servernameOf(socket: TLSSocket & { readonly servername?: unknown }): string | undefined {
  const { servername } = socket;
  return typeof servername === "string" && servername !== "" ? servername.toLowerCase() : undefined;
}

function isGood(socket: TLSSocket, { validTo }: X509Certificate, clock: Clock): boolean {
  // A resumed session has the verdict of its first handshake.
  return socket.authorized && clock.nowMs() <= Date.parse(validTo);
}

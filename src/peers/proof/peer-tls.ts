import type { Socket } from "node:net";
import {
  createSecureContext,
  createServer,
  type SecureContextOptions,
  type Server,
  TLSSocket,
} from "node:tls";
import type { Clock, Milliseconds } from "../../system/clock.ts";
import { messageOf } from "../../system/error-text.ts";
import type { Log } from "../../system/log.ts";
import { type FileState, PolledFiles } from "../../system/polled-files.ts";
import { certificateNames, namesMatcher } from "../../system/certificate-names.ts";

/** What the certificate of a connection comes to. */
export type CertificateVerdict =
  | "proven"
  /** No TLS, or no certificate. */
  | "absent"
  /** Not signed by the CA, or not for clients. */
  | "untrusted"
  | "expired"
  /** Good, but none of its names may push. */
  | "not_listed";

/** Options of {@link PeerTls}. */
export interface PeerTlsOptions {
  /** PEM files: the router's certificate with its chain, its key, and the CA that signs peers' certificates. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** Who may push ({@link namesMatcher}). */
  readonly names: readonly string[];
  /** Handshakes under way at a time; above, the connection of the oldest is closed. */
  readonly maxHandshakes: number;
  /** A connection was closed to make room for a newer one. Must not throw. */
  readonly evicted: () => void;
  readonly clock: Clock;
  readonly log: Log;
  /** Time between two looks at the files. Default 5 seconds. */
  readonly everyMs?: Milliseconds;
}

const HANDSHAKE_TIMEOUT_MS = 5_000;

interface KnownCertificate {
  readonly validUntilMs: Milliseconds;
  readonly verdict: CertificateVerdict;
  readonly names: string;
}

/**
 * TLS for the peer port, with certificates of peers. A peer without one, or with a bad one, is let in all the same and proves
 * nothing: probes have none. Files that change are used for connections from then on; open ones stay. A set of files that does not
 * fit together leaves the last one in force, and the log says so: it may be half written.
 */
export class PeerTls {
  readonly #options: PeerTlsOptions;
  readonly #files: PolledFiles;
  readonly #server: Server;
  readonly #isListed: ReturnType<typeof namesMatcher>;
  readonly #known = new WeakMap<TLSSocket, KnownCertificate>();
  /** By the address and port of the other side, the oldest first. */
  readonly #handshakes = new Map<string, Socket>();

  /**
   * `secured` gets each connection whose handshake is done.
   * @throws Error when a file can't be read, or the files do not fit together. It names the setting.
   */
  constructor(options: PeerTlsOptions, secured: (socket: TLSSocket) => void) {
    this.#options = options;
    const { certFile, keyFile, caFile, clock, everyMs = 5_000 } = options;
    this.#isListed = namesMatcher(options.names);
    this.#files = new PolledFiles({
      paths: [certFile, keyFile, caFile],
      everyMs,
      clock,
      changed: (states) => this.#changed(states),
    });
    try {
      this.#server = createServer({
        ...contextOf(this.#files.states),
        requestCert: true,
        // Judged for each push: a probe has no certificate, and a refusal that says why helps more than a broken handshake.
        rejectUnauthorized: false,
        ALPNProtocols: ["http/1.1"],
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      });
    } catch (error) {
      this.stop();
      throw error;
    }
    this.#server.on("secureConnection", (socket) => {
      this.#handshakes.delete(otherSideOf(socket));
      secured(socket);
    });
    // The server has closed the connection by then.
    this.#server.on("tlsClientError", (_error, socket) => socket.destroy());
  }

  /** Begins a handshake on a connection of which nothing has been read, or all of it was put back. */
  take(socket: Socket): void {
    const { maxHandshakes, evicted } = this.#options;
    const other = otherSideOf(socket);
    this.#handshakes.set(other, socket);
    socket.once("close", () => {
      if (this.#handshakes.get(other) === socket) this.#handshakes.delete(other);
    });
    this.#server.emit("connection", socket);
    if (this.#handshakes.size <= maxHandshakes) return;
    const [oldest] = this.#handshakes;
    if (oldest === undefined) return;
    this.#handshakes.delete(oldest[0]);
    if (oldest[1].destroyed) return;
    oldest[1].destroy();
    evicted();
  }

  /** Judges the certificate of a connection, at this moment. */
  verdictOf(socket: Socket): CertificateVerdict {
    if (!(socket instanceof TLSSocket)) return "absent";
    const { verdict, validUntilMs } = this.#certificateOf(socket);
    return verdict === "proven" && this.#options.clock.nowMs() > validUntilMs ? "expired" : verdict;
  }

  /** The names of a connection's certificate, for a log; empty if it was not signed by the CA. */
  namesOf(socket: Socket): string {
    return socket instanceof TLSSocket ? this.#certificateOf(socket).names : "";
  }

  /** Looks at the files now. */
  look(): Promise<void> {
    return this.#files.look();
  }

  /** Looks at the files no more, and breaks off the handshakes that are under way. */
  stop(): void {
    this.#files.stop();
    for (const socket of this.#handshakes.values()) socket.destroy();
  }

  #certificateOf(socket: TLSSocket): KnownCertificate {
    const known = this.#known.get(socket) ?? this.#judge(socket);
    this.#known.set(socket, known);
    return known;
  }

  #judge(socket: TLSSocket): KnownCertificate {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return { verdict: "absent", validUntilMs: 0, names: "" };
    if (!socket.authorized) {
      const isExpired = String(socket.authorizationError).includes("CERT_HAS_EXPIRED");
      return { verdict: isExpired ? "expired" : "untrusted", validUntilMs: 0, names: "" };
    }
    const { subjectAltName = "", validTo } = certificate;
    const isListed = this.#isListed(certificateNames(subjectAltName));
    return {
      verdict: isListed ? "proven" : "not_listed",
      validUntilMs: Date.parse(validTo),
      names: subjectAltName.slice(0, 200),
    };
  }

  #changed(states: readonly FileState[]): void {
    const { log } = this.#options;
    try {
      this.#server.setSecureContext(contextOf(states));
      log.info("the peer port's certificates changed: new connections use them");
    } catch (error) {
      log.warn("the peer port's certificates are of no use: the last ones stay", { why: messageOf(error) });
    }
  }
}

function otherSideOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

const SETTINGS = ["peers.tlsCertFile", "peers.tlsKeyFile", "peers.tlsCaFile"] as const;

function contextOf(states: readonly FileState[]): SecureContextOptions {
  const [cert, key, ca] = SETTINGS.map((setting, index) => {
    const state = states[index];
    if (state === undefined || "fault" in state)
      throw new Error(`${setting} can't be read: ${state?.fault ?? "it is missing"}`);
    return state.bytes;
  });
  const options = { cert, key, ca, minVersion: "TLSv1.2" } as const;
  try {
    // Throws what is wrong with them, before anything is changed.
    createSecureContext(options);
  } catch (error) {
    throw new Error(`${SETTINGS.join(", ")} do not fit together: ${messageOf(error)}`, { cause: error });
  }
  return options;
}

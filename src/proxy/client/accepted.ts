import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";

import { remoteAddressOf } from "../../system/ip-address.ts";

/** What a TLS handshake has told of a client's connection. */
export interface TlsFacts {
  /** The protocol that both sides have agreed on (ALPN, RFC 7301); false: the client named none. */
  readonly alpn: "h2" | "http/1.1" | false;
  /** The name that the client asked for (SNI, RFC 6066 3), in lower case. */
  readonly servername: string | undefined;
  /** The DNS names of the certificate that it was shown, in lower case, some perhaps with `*.` in front. */
  readonly certificateNames: readonly string[];
  /** The certificate that it has shown itself, if `tls.clientCaFile` has signed it. */
  readonly clientCertificate?: X509Certificate | undefined;
}

/** What is known of a client's connection beside its bytes. */
export interface AcceptedConnection {
  /** The client's IP address in its one spelling: the socket's, or what a PROXY protocol header says. */
  readonly clientAddress: string;
  /** Absent: it is not encrypted. */
  readonly tls?: TlsFacts | undefined;
  /** Below TLS: the connection of the kernel. Absent: the socket itself. */
  readonly transport?: Socket | undefined;
}

/** Of connections that are more than a socket: encrypted ones, and those with a PROXY protocol header. */
const known = new WeakMap<Socket, AcceptedConnection>();

/** Remembers what is known of a connection, for as long as it lives. */
export function noteAccepted(socket: Socket, accepted: AcceptedConnection): void {
  known.set(socket, accepted);
}

/** What is known of a connection: of most there is only the socket to ask. */
export function acceptedOf(socket: Socket): AcceptedConnection {
  return known.get(socket) ?? { clientAddress: remoteAddressOf(socket) };
}

/** How the client speaks to Lychgate. */
export function schemeOf({ tls }: Pick<AcceptedConnection, "tls">): "http" | "https" {
  return tls === undefined ? "http" : "https";
}

/** The connection of the kernel below `socket`: the one that can be reset. */
export function transportOf(socket: Socket): Socket {
  return known.get(socket)?.transport ?? socket;
}

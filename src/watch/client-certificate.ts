import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Milliseconds } from "../system/clock.ts";

/** A client certificate and its key, both PEM. */
export interface ClientCertificate {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** When the certificate expires, in milliseconds since the epoch. */
  readonly expiresAtMs: Milliseconds;
}

/**
 * The two as a pair that a TLS handshake can use. Who renews a pair on disk writes one file after the other, so for a moment the
 * key is not the certificate's.
 * @throws {Error} with a message that quotes nothing of either.
 */
export function clientCertificate(cert: Buffer, key: Buffer): ClientCertificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch {
    throw new Error("the client certificate is not PEM");
  }
  let isPair: boolean;
  try {
    isPair = certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    throw new Error("the client key is not PEM, or needs a passphrase");
  }
  if (!isPair) throw new Error("the client key is not the client certificate's");
  return { cert, key, expiresAtMs: certificate.validToDate.getTime() };
}

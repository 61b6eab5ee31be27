import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";

import { certificateNames } from "../../system/certificate-names.ts";
import type { Milliseconds } from "../../system/clock.ts";
import { messageOf } from "../../system/error-text.ts";

/** A certificate with its chain and its key, as PEM: proven to belong together. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
  /** The DNS names of the certificate, in lower case. */
  readonly names: readonly string[];
  /** Since the epoch. */
  readonly validFromMs: Milliseconds;
  readonly validToMs: Milliseconds;
}

/** Why a pair is of no use. The message goes on from the name of the setting. */
export class CertificateError extends Error {
  readonly code: "no_certificate" | "no_key" | "mismatch" | "refused";

  constructor(code: CertificateError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CertificateError";
    this.code = code;
  }
}

/**
 * Reads a certificate and its key. An expired one is good here: clients refuse it, and it is better than none.
 * @throws {CertificateError} what is wrong with them. Nothing of the key is in the message.
 */
export function readCertificatePair(cert: Buffer, key: Buffer): CertificatePair {
  const certificate = attempt(
    "no_certificate",
    "holds no certificate in PEM",
    () => new X509Certificate(cert),
  );
  const privateKey = attempt("no_key", "holds no private key in PEM without a passphrase", () =>
    createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey))
    throw new CertificateError("mismatch", "is not the key of the certificate");
  attempt("refused", "is refused by OpenSSL", () => createSecureContext({ cert, key }));
  return {
    cert: cert.toString("latin1"),
    key: key.toString("latin1"),
    names: certificateNames(certificate.subjectAltName).dns,
    validFromMs: Date.parse(certificate.validFrom),
    validToMs: Date.parse(certificate.validTo),
  };
}

function attempt<T>(code: CertificateError["code"], message: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new CertificateError(code, `${message} (${messageOf(error)})`, { cause: error });
  }
}

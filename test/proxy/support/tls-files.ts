import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readCertificatePair } from "../../../src/proxy/tls/certificate-pair.ts";
import type { CertificatePair } from "../../../src/proxy/tls/certificate-pair.ts";
import { TestCa } from "../../support/certificates.ts";

/** A CA in a folder of its own, and what it has signed. Needs the openssl command. */
export class TlsFiles {
  readonly directory: string;
  readonly ca: TestCa;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "lychgate-tls-"));
    this.ca = new TestCa(this.directory);
  }

  path(file: string): string {
    return join(this.directory, file);
  }

  /** Signs `<name>.crt` and `<name>.key` for DNS names. */
  pair(name: string, dnsNames: readonly string[], days = 2): CertificatePair {
    const { cert, key } = this.ca.sign(
      name,
      dnsNames.map((dnsName) => `DNS:${dnsName}`),
      days,
    );
    return readCertificatePair(cert, key);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}

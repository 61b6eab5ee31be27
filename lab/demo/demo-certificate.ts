import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

/** A certificate that nobody has signed but itself. */
export interface DemoCertificate {
  readonly certFile: string;
  readonly keyFile: string;
}

const run = promisify(execFile);

/**
 * Makes a certificate for `names` in `directory`, good for a week, by the openssl command: Node can't make one. It is its own CA, so that
 * `curl --cacert` takes it.
 * @throws Error when there is no such command.
 */
export async function makeDemoCertificate(
  directory: string,
  names: readonly string[],
): Promise<DemoCertificate> {
  await mkdir(directory, { recursive: true });
  const certFile = join(directory, "tls.crt");
  const keyFile = join(directory, "tls.key");
  const subject = names.map((name) => (/^[0-9.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(",");
  try {
    await run("openssl", [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "7",
      "-subj",
      "/CN=Lychgate demo",
      "-addext",
      `subjectAltName=${subject}`,
      "-keyout",
      keyFile,
      "-out",
      certFile,
    ]);
  } catch (error) {
    throw new Error("--tls makes a certificate by the openssl command, which failed or is not installed", {
      cause: error,
    });
  }
  return { certFile, keyFile };
}

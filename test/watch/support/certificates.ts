import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** True where the openssl command is installed, which a {@link TestCa} needs. */
export function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const CONFIG = `
[ca]
default_ca = test
[test]
database = ca.index
new_certs_dir = .
certificate = ca.crt
private_key = ca.key
default_md = sha256
policy = any_name
rand_serial = yes
unique_subject = no
copy_extensions = copy
[any_name]
commonName = supplied
`;

interface Issue {
  /** Its common name. Default: the file's. */
  readonly commonName?: string;
  /** Default `extendedKeyUsage=clientAuth`. */
  readonly extension?: string;
  /** Last day of its life. Default: tomorrow. */
  readonly notAfter?: Date;
}

/** A certificate authority of its own in a directory, with its certificate in `ca.crt`. */
export class TestCa {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    writeFileSync(join(directory, "ca.cnf"), CONFIG);
    writeFileSync(join(directory, "ca.index"), "");
    const files = ["-keyout", "ca.key", "-out", "ca.crt"];
    this.#openssl("req", "-x509", ...NEW_KEY, ...files, "-subj", "/CN=test ca", "-days", "2");
  }

  /** Makes `file.crt` and `file.key`, or replaces them. */
  issue(
    file: string,
    {
      commonName = file,
      extension = "extendedKeyUsage=clientAuth",
      notAfter = new Date(Date.now() + 86_400_000),
    }: Issue = {},
  ): void {
    const request = ["-keyout", `${file}.key`, "-out", `${file}.csr`, "-subj", `/CN=${commonName}`];
    this.#openssl("req", ...NEW_KEY, ...request, "-addext", extension);
    const dates = ["-startdate", "20200101000000Z", "-enddate", asn1Date(notAfter)];
    const files = ["-in", `${file}.csr`, "-out", `${file}.crt`];
    this.#openssl("ca", "-batch", "-notext", "-config", "ca.cnf", ...files, ...dates);
  }

  /** The content of a file of the directory. */
  read(name: string): Buffer {
    return readFileSync(join(this.#directory, name));
  }

  #openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.#directory, stdio: "ignore" });
  }
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

function asn1Date(date: Date): string {
  return `${date.toISOString().replaceAll(/[-:T]|\..*/g, "")}Z`;
}

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Whether there is an `openssl` command, which makes certificates for tests. */
export function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** A CA whose files, and those of what it signs, lie in `directory`: `<name>.crt` and `<name>.key`. */
export class TestCa {
  readonly #directory: string;
  readonly #name: string;

  constructor(directory: string, name = "ca") {
    this.#directory = directory;
    this.#name = name;
    const subject = ["-subj", `/CN=${name}`, "-days", "2", "-keyout", `${name}.key`, "-out", `${name}.crt`];
    this.#openssl("req", "-x509", ...NEW_KEY, ...subject);
  }

  /** Signs a certificate for `names`, such as `DNS:a.example.com` and `URI:spiffe://…`. Negative `days`: expired. */
  sign(name: string, names: readonly string[], days = 2): { readonly cert: Buffer; readonly key: Buffer } {
    const extension = names.length > 0 ? ["-addext", `subjectAltName=${names.join(",")}`] : [];
    const request = ["-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`];
    this.#openssl("req", ...NEW_KEY, ...request, ...extension);
    const ca = ["-CA", `${this.#name}.crt`, "-CAkey", `${this.#name}.key`, "-CAcreateserial"];
    const made = ["-days", String(days), "-copy_extensions", "copy", "-out", `${name}.crt`];
    this.#openssl("x509", "-req", "-in", `${name}.csr`, ...ca, ...made);
    return { cert: this.read(`${name}.crt`), key: this.read(`${name}.key`) };
  }

  read(file: string): Buffer {
    return readFileSync(join(this.#directory, file));
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: this.#directory, stdio: "ignore" });
  }
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

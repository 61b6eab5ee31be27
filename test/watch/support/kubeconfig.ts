import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";

/** A scratch directory that is gone at the end of the test. */
export class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "lychgate-watch-"));

  write(name: string, content: string | Buffer): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface KubeconfigParts {
  readonly server?: string;
  readonly cluster?: Readonly<Record<string, unknown>>;
  readonly user?: Readonly<Record<string, unknown>>;
  readonly namespace?: string;
  /** Prefixes all names, so that several files can be merged. Default `main`. */
  readonly name?: string;
}

/** A kubeconfig of one context, as YAML. */
export function kubeconfig(parts: KubeconfigParts = {}): string {
  const { name = "main", server = "https://127.0.0.1:6443", user } = parts;
  const context = { cluster: `${name}-cluster`, ...(user ? { user: `${name}-user` } : {}) };
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": name,
    clusters: [{ name: `${name}-cluster`, cluster: { server, ...parts.cluster } }],
    contexts: [{ name, context: parts.namespace ? { ...context, namespace: parts.namespace } : context }],
    users: user ? [{ name: `${name}-user`, user }] : [],
  });
}

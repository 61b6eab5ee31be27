import type { RequestHead } from "./request-head.ts";

/** Which sandbox, port and path a request asks for. */
export interface Target {
  readonly by:
    | { readonly kind: "id"; readonly id: string }
    | { readonly kind: "object"; readonly namespace: string; readonly name: string };
  /** What replies and the access log call the sandbox: the ID, or `namespace/name`. Safe to print. */
  readonly label: string;
  /** 1–65535. */
  readonly port: number;
  /** The request-target for the pod, byte-exact: begins with `/`, or is `*` (OPTIONS). */
  readonly path: string;
  readonly source: "path" | "header" | "host" | "template";
}

/** What a request's target came to. */
export type TargetResult =
  | { readonly kind: "target"; readonly target: Target }
  | { readonly kind: "none" }
  | { readonly kind: "malformed"; readonly message: string; readonly sandbox?: string };

/** How targets are found (design.md 4). Everything is optional. */
export interface TargetOptions {
  readonly domains?: readonly string[];
  readonly sandboxHeader?: string;
  readonly portHeader?: string;
  readonly defaultPort?: number;
  readonly hostHeader?: string;
  readonly pathPrefix?: string;
  readonly templates?: readonly string[];
  readonly strict?: boolean;
}

export type TargetParser = (head: RequestHead) => TargetResult;

export function createTargetParser(_options: TargetOptions = {}): TargetParser {
  throw new Error("being written");
}

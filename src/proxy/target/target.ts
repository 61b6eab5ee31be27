import { HTTP_TOKEN } from "../../system/http-token.ts";
import { parsePort } from "./authority.ts";
import { createHostMatcher } from "./host-match.ts";
import type { HostMatch } from "./host-match.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { parseRequestTarget } from "./request-target.ts";
import { TargetOptionsError } from "./target-options-error.ts";

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
  /** Of a target that the path named: what was taken off its begin, byte-exact. */
  readonly prefix?: string;
  readonly source: "path" | "header" | "host" | "template";
}

/** What a request's target came to. `none` becomes 404, `malformed` 400 (docs/architecture.md#target). */
export type TargetResult =
  | { readonly kind: "target"; readonly target: Target }
  | { readonly kind: "none" }
  | { readonly kind: "malformed"; readonly message: string; readonly sandbox?: string };

/** How targets are found (docs/architecture.md#target): the settings `target.…`, whose defaults are there alone. */
export interface TargetOptions {
  /**
   * Domains under which `<port>-<id>.<domain>` is a sandbox, matched as suffixes on label boundaries (`example.com`
   * allows `3000-a.example.com` and `3000-a.eu.example.com`). Empty: any domain. Templates carry their own.
   */
  readonly domains: readonly string[];
  /** Header that names a sandbox by ID. */
  readonly sandboxHeader: string;
  /** Header with the port to that ID. Read only beside the sandbox header; must be another one. */
  readonly portHeader: string;
  /** Port for an ID from a header, and from a template that says none. 1–65535. */
  readonly defaultPort: number;
  /** Header that, when present and not empty, stands in for Host. Empty: none. */
  readonly hostHeader: string;
  /** Path routing below `<pathPrefix>/<id>/<port>`. Begins and doesn't end with `/`; `""` turns it off. */
  readonly pathPrefix: string;
  /** Further Host forms, see {@link compileHostTemplate}; tried in order after `<port>-<id>.<domain>`. */
  readonly templates: readonly string[];
  /** Refuse a request whose path, headers and Host name different sandboxes, or of which one is malformed. */
  readonly strict: boolean;
}

/** Pure; never throws. */
export interface TargetParser {
  (head: RequestHead): TargetResult;
  /**
   * Lower-case names of the fields that are looked at. A request with an origin-form target that does not begin with
   * {@link pathPrefix} and with none of these but one Host has the target of that Host alone.
   */
  readonly fields: ReadonlySet<string>;
  /** `""`: no path names a sandbox. */
  readonly pathPrefix: string;
}

type Source = Target["source"];
type Malformed = Extract<TargetResult, { kind: "malformed" }>;

/** Headers and paths may spell what a host label can't: an object's name may hold dots, a label value `_`. */
const ID = /^[a-z0-9._-]{1,320}$/;
const OBJECT_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const NONE = { kind: "none" } as const;

/** Headers of the kubernetes-sigs router's clients, and its defaults. */
const OBJECT_HEADER = "x-sandbox-id";
const NAMESPACE_HEADER = "x-sandbox-namespace";
const OBJECT_PORT_HEADER = "x-sandbox-port";
const DEFAULT_NAMESPACE = "default";
const DEFAULT_OBJECT_PORT = 8888;

/**
 * Makes the one function that says which sandbox a request is for (docs/architecture.md#target). First match wins: path
 * `/kruise/<id>/<port>[/rest][?query]`; header `e2b-sandbox-id` (+ `e2b-sandbox-port`); header `x-sandbox-id`
 * (+ `x-sandbox-namespace`, default `default`, + `x-sandbox-port`, default 8888), which names an object; Host
 * `<port>-<id>.<domain>`; templates. IDs and hosts are case-folded, ports are 1–65535 in canonical digits, a repeated
 * Host or routing header and an invalid Host are malformed. An absolute-form request-target's authority stands for Host.
 *
 * Throws {@link TargetOptionsError} when an option can't work.
 *
 * @example
 * ```ts
 * import { configFrom } from "../../config/load.ts";
 * import { createTargetParser } from "./target.ts";
 *
 * const parse = createTargetParser(configFrom().target);
 * const result = parse({ method: "GET", target: "/", rawHeaders: ["Host", "3000-abc.example.com"] });
 * console.log(result.kind === "target" && `${result.target.label} port ${result.target.port}`);
 * // abc port 3000
 * ```
 */
export function createTargetParser(options: TargetOptions): TargetParser {
  const { pathPrefix, defaultPort, strict } = options;
  if (pathPrefix !== "" && !/^(\/[^/?#\s]+)+$/.test(pathPrefix)) {
    throw new TargetOptionsError(
      "bad_path_prefix",
      `path prefix "${pathPrefix}"`,
      "must begin and must not end with /",
    );
  }
  if (parsePort(String(defaultPort)) === undefined) {
    throw new TargetOptionsError("bad_default_port", `default port ${defaultPort}`, "must be 1 to 65535");
  }
  const sandboxHeader = headerName(options.sandboxHeader);
  const portHeader = headerName(options.portHeader);
  if (sandboxHeader === portHeader) {
    throw new TargetOptionsError(
      "bad_header_name",
      `"${portHeader}"`,
      "can't name both the sandbox and the port",
    );
  }
  const hostHeader = options.hostHeader === "" ? undefined : headerName(options.hostHeader);
  const matchHost = createHostMatcher(options.domains ?? [], options.templates ?? []);
  const routing = new Set([
    "host",
    sandboxHeader,
    portHeader,
    OBJECT_HEADER,
    NAMESPACE_HEADER,
    OBJECT_PORT_HEADER,
  ]);
  if (hostHeader !== undefined) routing.add(hostHeader);
  /** Most fields are passed over by their length alone. */
  const lengths = new Uint8Array(1 + Math.max(...[...routing].map((name) => name.length)));
  for (const name of routing) lengths[name.length] = 1;

  const parse = (head: RequestHead): TargetResult => {
    const requestTarget = parseRequestTarget(head.method, head.target);
    if (requestTarget.kind === "malformed") return requestTarget;
    const { path, authority } = requestTarget;

    const fields = new Map<string, string>();
    const { rawHeaders } = head;
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const rawName = rawHeaders[i] ?? "";
      if (lengths[rawName.length] !== 1) continue;
      const name = rawName.toLowerCase();
      if (!routing.has(name)) continue;
      if (fields.has(name)) return malformed(`the header ${name} must not be repeated`);
      fields.set(name, rawHeaders[i + 1] ?? "");
    }
    // RFC 9112 3.2: an invalid Host is answered with 400, whatever else names the sandbox.
    const fieldHost = fields.get("host");
    const host = matchHost(authority ?? fieldHost);
    const isInvalid =
      host.kind === "invalid" || (authority !== undefined && matchHost(fieldHost).kind === "invalid");
    if (isInvalid) return malformed("the Host is invalid");

    const byPath = (): TargetResult => fromPath(path, pathPrefix);
    const byHeader = (): TargetResult => {
      const id = fields.get(sandboxHeader);
      return id
        ? fromIdHeader(id, fields.get(portHeader), defaultPort, path)
        : fromObjectHeaders(fields, path);
    };
    const byHost = (): TargetResult => {
      const standIn = hostHeader && fields.get(hostHeader);
      const match = standIn ? matchHost(standIn) : host;
      return match.kind === "invalid"
        ? malformed(`the header ${hostHeader} is invalid`)
        : fromHost(match, path);
    };

    if (strict) return agreed([byPath(), byHeader(), byHost()]);
    const first = byPath();
    if (first.kind !== "none") return first;
    const second = byHeader();
    return second.kind === "none" ? byHost() : second;
  };
  return Object.assign(parse, { fields: routing, pathPrefix });

  function fromHost(match: Exclude<HostMatch, { kind: "invalid" }>, path: string): TargetResult {
    if (match.kind === "none" || match.kind === "malformed") return match;
    const port = match.port ?? defaultPort;
    return match.kind === "id"
      ? byId(match.id, port, path, match.source)
      : byObject(match.namespace, match.name, port, path, match.source);
  }
}

/** `/kruise/<id>/<port>[/rest][?query]`. */
function fromPath(path: string, prefix: string): TargetResult {
  if (prefix === "" || !path.startsWith(prefix) || path[prefix.length] !== "/") return NONE;
  const query = path.indexOf("?");
  const end = query === -1 ? path.length : query;
  const idStart = prefix.length + 1;
  const idEnd = path.indexOf("/", idStart);
  const shape = `the path must be ${prefix}/<sandbox id>/<port>/…`;
  const id = path.slice(idStart, idEnd === -1 || idEnd > end ? end : idEnd).toLowerCase();
  if (!ID.test(id)) return malformed(id === "" ? shape : "the path names an invalid sandbox id");
  if (idEnd === -1 || idEnd > end) return malformed(shape, id);
  const slash = path.indexOf("/", idEnd + 1);
  const portEnd = slash === -1 || slash > end ? end : slash;
  const port = parsePort(path.slice(idEnd + 1, portEnd));
  if (port === undefined) return malformed("the port in the path must be 1 to 65535", id);
  const rest = path.slice(portEnd);
  const target: Target = {
    by: { kind: "id", id },
    label: id,
    port,
    path: rest.startsWith("/") ? rest : `/${rest}`,
    prefix: path.slice(0, portEnd),
    source: "path",
  };
  return { kind: "target", target };
}

function fromIdHeader(
  value: string,
  portText: string | undefined,
  defaultPort: number,
  path: string,
): TargetResult {
  const id = value.toLowerCase();
  if (!ID.test(id)) return malformed("the header names an invalid sandbox id");
  const port = portText ? parsePort(portText) : defaultPort;
  if (port === undefined) return malformed("the port in the header must be 1 to 65535", id);
  return byId(id, port, path, "header");
}

function fromObjectHeaders(fields: ReadonlyMap<string, string>, path: string): TargetResult {
  const name = fields.get(OBJECT_HEADER)?.toLowerCase();
  if (!name) return NONE;
  const namespace = fields.get(NAMESPACE_HEADER)?.toLowerCase() || DEFAULT_NAMESPACE;
  if (!OBJECT_NAME.test(name)) return malformed(`the header ${OBJECT_HEADER} is not an object's name`);
  if (!NAMESPACE.test(namespace)) return malformed(`the header ${NAMESPACE_HEADER} is not a namespace`);
  const portText = fields.get(OBJECT_PORT_HEADER);
  const port = portText ? parsePort(portText) : DEFAULT_OBJECT_PORT;
  if (port === undefined) {
    return malformed("the port in the header must be 1 to 65535", `${namespace}/${name}`);
  }
  return byObject(namespace, name, port, path, "header");
}

/** Strict mode: the first that found one, unless another is malformed or names another sandbox. */
function agreed(results: readonly TargetResult[]): TargetResult {
  let first: Target | undefined;
  for (const result of results) {
    if (result.kind === "malformed") return result;
    if (result.kind === "none") continue;
    first ??= result.target;
    if (identity(result.target) !== identity(first)) {
      return malformed("path, headers and Host name different sandboxes", first.label);
    }
  }
  return first === undefined ? NONE : { kind: "target", target: first };
}

/** An object and its legacy ID are the same sandbox. */
function identity({ by }: Target): string {
  return by.kind === "id" ? by.id : `${by.namespace}--${by.name}`;
}

function byId(id: string, port: number, path: string, source: Source): TargetResult {
  return { kind: "target", target: { by: { kind: "id", id }, label: id, port, path, source } };
}

function byObject(namespace: string, name: string, port: number, path: string, source: Source): TargetResult {
  const by = { kind: "object", namespace, name } as const;
  return { kind: "target", target: { by, label: `${namespace}/${name}`, port, path, source } };
}

function malformed(message: string, sandbox?: string): Malformed {
  return sandbox === undefined ? { kind: "malformed", message } : { kind: "malformed", message, sandbox };
}

function headerName(name: string): string {
  const lower = name.toLowerCase();
  if (!HTTP_TOKEN.test(lower)) {
    throw new TargetOptionsError("bad_header_name", `"${name}"`, "is not a header name");
  }
  return lower;
}

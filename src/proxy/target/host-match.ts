import { LRUCache } from "lru-cache";

import { parseAuthority, parsePort } from "./authority.ts";
import { compileHostTemplate } from "./host-template.ts";
import { TargetOptionsError } from "./target-options-error.ts";

/** What a Host said. `port` is absent when it names none. */
export type HostMatch =
  | {
      readonly kind: "id";
      readonly id: string;
      readonly port?: number | undefined;
      readonly source: HostSource;
    }
  | {
      readonly kind: "object";
      readonly namespace: string;
      readonly name: string;
      readonly port?: number | undefined;
      readonly source: HostSource;
    }
  | { readonly kind: "none" }
  | { readonly kind: "malformed"; readonly message: string; readonly sandbox?: string }
  /** Not a Host at all (RFC 9112 3.2). */
  | { readonly kind: "invalid" };

/** Which rule matched. */
export type HostSource = "host" | "template";

const ID = /^[a-z0-9-]{1,253}$/;
const DOMAIN = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;
const NONE = { kind: "none" } as const;
const INVALID = { kind: "invalid" } as const;

/** Remembered Hosts: reading one costs ten times as much as finding it. At most 512 characters each. */
const MAX_REMEMBERED = 4096;

/**
 * Makes the function that reads a Host field: first `<port>-<id>.<domain>`, where `domains` limits the domain (empty:
 * any), then `templates` in their order. Case, the Host's own port and one trailing dot don't matter. When nothing
 * matches, the first fault found is told. Throws {@link TargetOptionsError} for a domain or template that can't work.
 */
export function createHostMatcher(
  domains: readonly string[],
  templates: readonly string[],
): (host: string | undefined) => HostMatch {
  const suffixes = domains.map((domain) => `.${normalDomain(domain)}`);
  const compiled = templates.map(compileHostTemplate);
  const remembered = new LRUCache<string, HostMatch>({ max: MAX_REMEMBERED });
  return (host) => {
    if (!host) return NONE;
    const known = remembered.get(host);
    if (known !== undefined) return known;
    const authority = parseAuthority(host);
    if (authority === undefined) return INVALID;
    const match = read(authority.host.toLowerCase().replace(/\.$/, ""));
    // A copy: the field may be a slice that would keep its whole request head alive.
    remembered.set(Buffer.from(host, "latin1").toString("latin1"), match);
    return match;
  };

  function read(name: string): HostMatch {
    const portAndId = matchPortAndId(name, suffixes);
    if (portAndId.kind === "id") return portAndId;
    let fault = portAndId;
    for (const matchTemplate of compiled) {
      const match = matchTemplate(name);
      if (match.kind === "id" || match.kind === "object") return { ...match, source: "template" };
      if (fault.kind === "none") fault = match;
    }
    return fault;
  }
}

/** `<port>-<id>.<domain>`, lower-case. A label that begins otherwise, or a foreign domain, is no sandbox's. */
function matchPortAndId(host: string, suffixes: readonly string[]): HostMatch {
  let digits = 0;
  while (isDigit(host.charCodeAt(digits))) digits += 1;
  if (digits === 0 || host[digits] !== "-") return NONE;
  const dot = host.indexOf(".", digits);
  if (dot === -1 || dot === host.length - 1) return NONE;
  if (suffixes.length > 0 && !suffixes.some((suffix) => host.endsWith(suffix))) return NONE;
  const id = host.slice(digits + 1, dot);
  if (!ID.test(id)) return { kind: "malformed", message: "the Host names an invalid sandbox id" };
  const port = parsePort(host.slice(0, digits));
  if (port === undefined) {
    return { kind: "malformed", message: "the port in the Host must be 1 to 65535", sandbox: id };
  }
  return { kind: "id", id, port, source: "host" };
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function normalDomain(name: string): string {
  const lower = name.toLowerCase().replace(/\.$/, "");
  if (!DOMAIN.test(lower)) {
    throw new TargetOptionsError(
      "bad_domain",
      `domain "${name}"`,
      "is not a domain name; write it as example.com",
    );
  }
  return lower;
}

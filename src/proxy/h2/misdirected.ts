import { isIP } from "node:net";

import type { TlsFacts } from "../client/accepted.ts";
import { parseAuthority } from "../target/authority.ts";

/**
 * Whether a request for `host` belongs on a connection with this TLS (RFC 9110 7.4): the host is one of the certificate's DNS
 * names (`*.` for one label, RFC 6125 6.4.3), or the name that the client asked for, whatever it was shown then. A host
 * that is an IP address is none that clients share a connection for; one that can't be read is left to whoever finds the
 * target. Pure.
 */
export function isMeantFor(
  { certificateNames, servername }: Pick<TlsFacts, "certificateNames" | "servername">,
  host: string,
): boolean {
  const authority = parseAuthority(host);
  if (authority === undefined) return true;
  const name = authority.host.toLowerCase().replace(/\.$/, "");
  if (name === servername || isIP(name) !== 0) return true;
  const dot = name.indexOf(".");
  const wildcard = `*${name.slice(dot)}`;
  return certificateNames.some((each) => each === name || (dot > 0 && each === wildcard));
}

/** A parsed `[host]:port`. */
export interface ListenAddress {
  /** An IPv4 or IPv6 address (no brackets) or a host name; `undefined` means all interfaces. */
  readonly host: string | undefined;
  /** 0 to 65535; 0 asks the system for a free port. */
  readonly port: number;
}

/** What a listen address must look like, for messages and documentation. */
export const LISTEN_ADDRESS_FORM = "[host]:port";

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/i;
const IPV6_CHARACTERS = /^[0-9a-f:.]+(%[\w.-]+)?$/i;

/**
 * Reads `:7788`, `127.0.0.1:7788`, `localhost:7788` or `[::1]:7788`. Returns what is wrong, as the end of a
 * sentence that begins with the setting's name, when it is none of those.
 */
export function parseListenAddress(text: string): ListenAddress | { readonly fault: string } {
  const colon = text.lastIndexOf(":");
  if (colon === -1)
    return { fault: `must be ${LISTEN_ADDRESS_FORM}, such as ":${/^\d+$/.test(text) ? text : "7788"}"` };
  const hostText = text.slice(0, colon);
  const portText = text.slice(colon + 1);
  if (!/^\d{1,5}$/.test(portText) || Number(portText) > 65_535) {
    return { fault: `must end in a port from 0 to 65535, not ${JSON.stringify(portText)}` };
  }
  const port = Number(portText);
  if (hostText === "") return { host: undefined, port };
  if (hostText.startsWith("[") && hostText.endsWith("]")) {
    const inner = hostText.slice(1, -1);
    if (!inner.includes(":") || !isIpv6(inner))
      return { fault: "must hold an IPv6 address between its brackets" };
    return { host: inner, port };
  }
  if (hostText.includes(":"))
    return { fault: `must put an IPv6 address in brackets: "[${hostText}]:${portText}"` };
  if (!HOST_NAME.test(hostText))
    return { fault: `names a host that is neither an address nor a host name: "${hostText}"` };
  return { host: hostText, port };
}

function isIpv6(text: string): boolean {
  // URL's parser is the strictest IPv6 reader that is documented to accept every RFC 4291 form.
  return IPV6_CHARACTERS.test(text) && URL.canParse(`http://[${text.replace(/%.*$/, "")}]/`);
}

/**
 * Where a client on this machine reaches a listener: all interfaces become loopback.
 * Returns `undefined` for port 0, which nobody but the router knows.
 */
export function localUrl(address: ListenAddress): string | undefined {
  if (address.port === 0) return undefined;
  const host = address.host === undefined || address.host === "0.0.0.0" ? "127.0.0.1" : address.host;
  if (!host.includes(":")) return `http://${host}:${address.port}`;
  return `http://[${host === "::" ? "::1" : host}]:${address.port}`;
}

/** The names that a certificate gives its holder. */
export interface CertificateNames {
  /** Lower-case. */
  readonly dns: readonly string[];
  readonly uris: readonly string[];
}

/** One entry as `X509Certificate.subjectAltName` writes it. What could be taken for a separator is in a JSON string there. */
const ENTRY = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)/gy;
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SEGMENT = /^[\w.-]+$/;

/**
 * The DNS names and URIs of a certificate's subjectAltName, as `node:crypto` writes it. No names at all if any of it can't be read: part
 * of a name must not pass for a name. An SVID has one URI and no more (SPIFFE X509-SVID 2), so with several there is none.
 */
export function certificateNames(subjectAltName: string | undefined): CertificateNames {
  const dns: string[] = [];
  const uris: string[] = [];
  const text = subjectAltName ?? "";
  let read = 0;
  for (const [whole, kind = "", value = ""] of text.matchAll(ENTRY)) {
    read += whole.length;
    // A value that had to be quoted holds what no name on the list does.
    if (value.startsWith('"')) continue;
    if (kind === "DNS") dns.push(value.toLowerCase());
    else if (kind === "URI") uris.push(value);
  }
  if (read !== text.length) return { dns: [], uris: [] };
  return { dns, uris: uris.length === 1 ? uris : [] };
}

/**
 * Whether a certificate has a name that one of `patterns` allows: a DNS name, with `*` for the first label; or a SPIFFE ID, with `*`
 * for any whole segments of its path. `*` stands for exactly one label or segment.
 */
export function namesMatcher(patterns: readonly string[]): (names: CertificateNames) => boolean {
  return ({ dns, uris }) =>
    patterns.some((pattern) =>
      pattern.startsWith("spiffe://")
        ? uris.some((uri) => fits(pattern.split("/"), uri.split("/"), SEGMENT))
        : dns.some((name) => fits(pattern.split("."), name.split("."), LABEL)),
    );
}

function fits(pattern: readonly string[], name: readonly string[], wild: RegExp): boolean {
  return (
    pattern.length === name.length &&
    pattern.every((part, index) => {
      const given = name[index] ?? "";
      return part === "*" ? wild.test(given) && given !== "." && given !== ".." : part === given;
    })
  );
}

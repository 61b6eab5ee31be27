/** A request-target in the form that an origin server gets, or what is wrong with it. */
export type RequestTarget =
  | {
      readonly kind: "ok";
      /** Origin-form, byte-exact, or `*`. */
      readonly path: string;
      /** Of an absolute-form target: it stands in for the Host field (RFC 9112 3.2.2). */
      readonly authority: string | undefined;
    }
  | { readonly kind: "malformed"; readonly message: string };

/** What a URI never holds: controls, space, `#`, and what latin1 can't spell. */
const FORBIDDEN = /[^\x21-\x22\x24-\xff]/;

/**
 * Brings a request-target to origin-form (RFC 9112 3.2): absolute-form (`http://host/path`) loses its scheme and
 * authority, everything else stays byte-exact. `*` is for OPTIONS alone. Authority-form (CONNECT), fragments, controls,
 * spaces and user information are malformed: nothing ambiguous is forwarded.
 */
export function parseRequestTarget(method: string, target: string): RequestTarget {
  if (method === "CONNECT") return malformed("CONNECT is not supported");
  if (FORBIDDEN.test(target)) {
    return malformed(
      target.includes("#")
        ? "the request-target must not hold a fragment (#)"
        : "the request-target must not hold spaces or control characters",
    );
  }
  if (target.startsWith("/")) return { kind: "ok", path: target, authority: undefined };
  if (target === "*") {
    return method === "OPTIONS"
      ? { kind: "ok", path: "*", authority: undefined }
      : malformed("the request-target * is for OPTIONS only");
  }
  return parseAbsoluteForm(method, target);
}

function parseAbsoluteForm(method: string, target: string): RequestTarget {
  const scheme = /^https?:\/\//i.exec(target);
  if (!scheme) return malformed("the request-target must begin with / or be an http URL");
  const start = scheme[0].length;
  const length = target.slice(start).search(/[/?]/);
  const end = length === -1 ? target.length : start + length;
  const authority = target.slice(start, end);
  if (authority === "") return malformed("the request-target names no host");
  if (authority.includes("@")) return malformed("the request-target must not hold user information");
  const rest = target.slice(end);
  if (rest === "") return { kind: "ok", path: method === "OPTIONS" ? "*" : "/", authority };
  return { kind: "ok", path: rest.startsWith("?") ? `/${rest}` : rest, authority };
}

function malformed(message: string): RequestTarget {
  return { kind: "malformed", message };
}

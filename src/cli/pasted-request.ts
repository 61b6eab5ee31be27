/** A request as a person gives it. */
export interface PastedRequest {
  readonly host: string;
  /** With its query. */
  readonly path: string;
}

const SHAPE = /^(?:[a-z][a-z0-9+.-]*:\/\/)?([^/?#]*)(\/[^?#]*)?(\?[^#]*)?/is;

/**
 * Host and path of a URL, a URL without its scheme, a path, or a Host. Not `new URL`: that would refuse or mend what a client
 * may well send. The status page reads in the same way (admin/page/pasted.js).
 */
export function requestOf(text: string): PastedRequest {
  const [, authority = "", path = "/", query = ""] = SHAPE.exec(text.trim()) ?? [];
  // Credentials before an @ are no part of the Host. A path alone names its sandbox itself.
  const host = authority.replace(/^.*@/s, "") || (text.trim().startsWith("/") ? "localhost" : "");
  return { host, path: path + query };
}

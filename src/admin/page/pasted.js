/**
 * Host and path, with its query, of what a person pastes: a URL, a URL without its scheme, a path, or a Host. The command
 * line reads URLs in the same way (cli/pasted-request.ts); a test holds them together.
 */
export function requestOf(text) {
  const parts = /^(?:[a-z][a-z0-9+.-]*:\/\/)?([^/?#]*)(\/[^?#]*)?(\?[^#]*)?/is.exec(text.trim());
  const [, authority, path = "/", query = ""] = parts;
  // Credentials before an @ are no part of the Host. A path alone names its sandbox itself.
  const host = authority.replace(/^.*@/s, "") || (text.trim().startsWith("/") ? "localhost" : "");
  return { host, path: path + query };
}

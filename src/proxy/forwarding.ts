import type { RequestHead } from "./request-head.ts";

export interface RequestForwarding {
  /** The peer's IP address as the socket tells it. */
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  /** The port that the client connected to. */
  readonly listenPort?: number | undefined;
  readonly requestId: string;
  /** Keep (and append to) the client's own X-Forwarded-* and Forwarded; else they are dropped and set anew. */
  readonly trustForwarded: boolean;
}

/** A head that undici is sure to accept, or what is wrong with it (→ `bad_request`). */
export type ForwardedRequest =
  | {
      readonly kind: "forward";
      readonly method: string;
      readonly path: string;
      /** Flat `name, value, …` for undici's `dispatch`. */
      readonly headers: string[];
      /** How the body is framed: `none` → pass `null` as undici's body; else pass the stream. */
      readonly body: "none" | "length" | "chunked";
    }
  | { readonly kind: "bad_request"; readonly message: string };

/** `path` is `Target.path`. */
export function forwardRequestHead(
  _head: RequestHead,
  _path: string,
  _options: RequestForwarding,
): ForwardedRequest {
  throw new Error("being written");
}

/** A pod's response fields as the client may have them, or what is wrong with them (→ `upstream_protocol`). */
export type ForwardedResponse =
  | { readonly kind: "forward"; readonly headers: string[] }
  | { readonly kind: "invalid"; readonly message: string };

/** Flat raw headers (undici's `controller.rawHeaders`) → flat strings for `ServerResponse.writeHead`. */
export function forwardResponseHeaders(_rawHeaders: readonly (Buffer | string)[]): ForwardedResponse {
  throw new Error("being written");
}

/** Trailers that may be passed on (either way): flat, without framing, routing and hop-by-hop fields. */
export function forwardTrailers(_rawTrailers: readonly (Buffer | string)[]): string[] {
  throw new Error("being written");
}

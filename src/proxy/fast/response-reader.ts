import type { UpstreamError } from "../upstream/upstream-error.ts";

/**
 * Who gets a response. In this order: any number of `informational`; one `head`; `bytes` and `text`, any number of each; `ended`.
 * `failed` may come at any point before `ended`, and nothing after it. `countBody` tells of body bytes before they come, and so
 * before `head` for those that came with it. `continues` comes once, after `head`, when not all was there at once.
 */
export interface ResponseReader {
  /** The request was a HEAD: its response has no body. */
  readonly isHead: boolean;
  /** The response must ask the client to close, as far as is known when its head comes. */
  readonly mustClose: boolean;
  /** A 1xx head, complete. */
  informational(head: string): void;
  /**
   * `text` is the head and what of the body came with it, or empty when both follow as bytes. `delimited`: the message
   * tells by itself where it ends.
   */
  head(status: number, text: string, delimited: boolean): void;
  /** The head was told, and more of the response is to come. */
  continues(): void;
  /** More of the response, as it goes over the wire: the bytes are the reader's until it returns. */
  bytes(bytes: Buffer, start: number, end: number): void;
  /** More of the response, as text of one character per byte. */
  text(text: string): void;
  /** How many of these bytes were body, and not its framing. */
  countBody(bytes: number): void;
  /** All is here, and `keep` says whether the connection may carry a next request. `atOnce`: it came with the head. */
  ended(keep: boolean, atOnce: boolean): void;
  failed(error: UpstreamError): void;
  /** The pod takes more of the request again. */
  podDrained(): void;
  /** Bytes that were given to the client's socket still wait in it. */
  readonly writeIsPending: boolean;
}

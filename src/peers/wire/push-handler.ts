import type { Socket } from "node:net";
import type { PeerReply } from "./peer-reply.ts";

/** The head of a `POST /refresh`. */
export interface WirePush {
  readonly socket: Socket;
  /** The address that it came from. */
  readonly from: string;
  readonly method: string;
  /** The request target as it stands in the request line. */
  readonly target: string;
  /** Header fields by name in lower case. A field that is there twice has a comma in it. */
  readonly fields: () => Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** What is made of a head. */
export type Admitted<P> =
  | { readonly kind: "admitted"; readonly push: P }
  | { readonly kind: "refused"; readonly reply: PeerReply };

/** How the body of an admitted push ended. */
export type PushBody =
  | { readonly kind: "complete"; readonly bytes: number; readonly body: Buffer }
  | { readonly kind: "too_large" | "overloaded" | "incomplete"; readonly bytes: number };

/**
 * Decides pushes. For each push `admit` is called once, when its head is there; if that admits it, `decide` follows once. Neither
 * throws.
 */
export interface PushHandler<P> {
  admit(push: WirePush): Admitted<P>;
  /** Undefined exactly for a body that is `incomplete`: there is nobody to answer. The body's bytes may be overwritten afterwards. */
  decide(push: P, body: PushBody): PeerReply | undefined;
}

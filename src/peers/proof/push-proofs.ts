import type { Socket } from "node:net";
import { type Claim, claimOf, type SignedFields } from "./hmac.ts";
import type { HmacVerifier } from "./hmac-verifier.ts";
import type { PeerTls } from "./peer-tls.ts";
import type { ProofMethod, ProofResult } from "./proof-results.ts";

/** What every push must bring (docs/peers.md#proof). */
export type RequiredProof = "none" | "hmac" | "mtls";

/** Told of each proof that was given, and of each that was missing. Must not throw. */
export type ProofObserver = (method: ProofMethod, result: ProofResult) => void;

/** What is known of a push before its body is read. */
export type HeadProof =
  | { readonly kind: "refused"; readonly method: ProofMethod; readonly result: ProofResult }
  /** `claim`: a signature that only the body can prove. */
  | {
      readonly kind: "open";
      readonly proven: boolean;
      readonly claim?: Extract<Claim, { kind: "claim" }>;
    };

/** What is known once its body is there. */
export type BodyProof =
  | Extract<HeadProof, { kind: "refused" }>
  | { readonly kind: "done"; readonly proven: boolean };

/** The head of a push, whoever has read it. */
export interface PushHead {
  /** What the push came over: its certificate is looked at. */
  readonly socket: Socket;
  readonly method: string;
  /** The request target as it stands in the request line. */
  readonly target: string;
  /** Its header fields by name in lower case. Read only when signatures are looked at. */
  readonly fields: () => SignedFields;
}

/** Options of {@link PushProofs}. */
export interface PushProofsOptions {
  readonly require: RequiredProof;
  /** Absent: no keys, so signatures are not looked at. */
  readonly hmac?: HmacVerifier | undefined;
  /** Absent: the port has no TLS. */
  readonly tls?: PeerTls | undefined;
  readonly observer: ProofObserver;
}

/**
 * Decides whether who pushes has proved who it is. The proof that is required must be there and be right, else the push is refused.
 * One that is not required makes a push proven when it is right, and changes nothing when it is not: then the push is settled by a
 * read, and the fault is counted.
 */
export class PushProofs {
  readonly #options: PushProofsOptions;

  constructor(options: PushProofsOptions) {
    this.#options = options;
  }

  /** What can be told before the body is read: so a push without a proof costs next to nothing. */
  ofHead(head: PushHead): HeadProof {
    const { require, hmac, tls } = this.#options;
    const certificate = tls?.verdictOf(head.socket) ?? "absent";
    if (certificate !== "absent") this.#options.observer("mtls", certificate);
    if (require === "mtls" && certificate !== "proven")
      return this.#refuse("mtls", certificate === "absent" ? "missing" : certificate);
    const proven = certificate === "proven";
    if (hmac === undefined) return { kind: "open", proven };
    const claim = claimOf(head.fields());
    if (claim.kind === "claim" && hmac.isInTime(claim)) return { kind: "open", proven, claim };
    const result = claim.kind === "absent" ? "missing" : claim.kind === "claim" ? "out_of_time" : claim.kind;
    if (result !== "missing") this.#options.observer("hmac", result);
    return require === "hmac" ? this.#refuse("hmac", result) : { kind: "open", proven };
  }

  /** What the body adds. */
  ofBody(known: Extract<HeadProof, { kind: "open" }>, head: PushHead, body: Uint8Array): BodyProof {
    const { require, hmac, observer } = this.#options;
    if (hmac === undefined || known.claim === undefined) return { kind: "done", proven: known.proven };
    const { method, target } = head;
    const result = hmac.verify(known.claim, { method, target, body });
    observer("hmac", result);
    if (result === "proven") return { kind: "done", proven: true };
    return require === "hmac"
      ? { kind: "refused", method: "hmac", result }
      : { kind: "done", proven: known.proven };
  }

  #refuse(method: ProofMethod, result: ProofResult): Extract<HeadProof, { kind: "refused" }> {
    if (result === "missing") this.#options.observer(method, result);
    return { kind: "refused", method, result };
  }
}

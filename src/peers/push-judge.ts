import type { Clock } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import type { PacedLog } from "../system/paced-log.ts";
import type { PeerObserver } from "./peer-observer.ts";
import type { PeerTls } from "./proof/peer-tls.ts";
import type { ProofMethod, ProofResult } from "./proof/proof-results.ts";
import type { HeadProof, PushProofs } from "./proof/push-proofs.ts";
import type { Admission, PushBudget } from "./push-budget.ts";
import type { PushSink } from "./push-sink.ts";
import { handleRefresh } from "./refresh-handler.ts";
import type { PeerReply } from "./wire/peer-reply.ts";
import type { Admitted, PushBody, PushHandler, WirePush } from "./wire/push-handler.ts";

/** Options of {@link PushJudge}. */
export interface PushJudgeOptions {
  readonly sink: PushSink;
  readonly observer: PeerObserver;
  readonly mayPush: (address: string) => boolean;
  /** Absent: peers need not, and can't, prove who they are. */
  readonly proofs: PushProofs | undefined;
  readonly tls: PeerTls | undefined;
  /** A push from this address was refused with 401 or 403. */
  readonly refused: ((address: string) => void) | undefined;
  /** Absent: no limit. */
  readonly budget: PushBudget | undefined;
  /** For refusals that somebody should look at. */
  readonly refusals: PacedLog;
  readonly clock: Clock;
  readonly log: Log;
}

/** A push whose head is good, so that its body may be read. */
export interface AdmittedPush {
  readonly head: WirePush;
  readonly proof: Extract<HeadProof, { kind: "open" }>;
}

const CLOSE = { connection: "close" } as const;
const RETRY_LATER = { connection: "close", "retry-after": "1" } as const;
/** What a 401 must name (RFC 9110 11.6.1). */
const CHALLENGES = { hmac: "Lychgate-HMAC-SHA256", mtls: "Mutual-TLS" } as const;
const NOT_PROVEN = { kind: "open", proven: false } as const;
const DONE_NOT_PROVEN = { kind: "done", proven: false } as const;

const NO_CONTENT: PeerReply = { status: 204, body: "", fields: {} };

/**
 * Decides every push, whoever has read it (docs/peers.md#post-refresh). Who may push, and how much, is judged before a body is read.
 */
export class PushJudge implements PushHandler<AdmittedPush> {
  readonly #options: PushJudgeOptions;

  constructor(options: PushJudgeOptions) {
    this.#options = options;
  }

  admit(head: WirePush): Admitted<AdmittedPush> {
    try {
      return this.#admit(head);
    } catch (error) {
      return { kind: "refused", reply: this.#failed(error) };
    }
  }

  decide(push: AdmittedPush, body: PushBody): PeerReply | undefined {
    try {
      return this.#decide(push, body);
    } catch (error) {
      return this.#failed(error);
    }
  }

  #admit(head: WirePush): Admitted<AdmittedPush> {
    const { mayPush, refused, refusals, observer, proofs, budget, clock } = this.#options;
    const { from } = head;
    if (!mayPush(from)) {
      refusals.tell("warn", "pushes refused: their sender is not in peers.allowFrom", () => ({ from }));
      observer.pushed("forbidden");
      refused?.(from);
      return { kind: "refused", reply: replyOf(403, "not allowed to push routes\n", CLOSE) };
    }
    const proof = proofs?.ofHead(head) ?? NOT_PROVEN;
    if (proof.kind === "refused") return { kind: "refused", reply: this.#unproven(proof, head) };
    const reply = budget && this.#overRate(budget.admitPush(from, clock.monotonicMs()), from);
    return reply ? { kind: "refused", reply } : { kind: "admitted", push: { head, proof } };
  }

  #decide({ head, proof }: AdmittedPush, read: PushBody): PeerReply | undefined {
    const { sink, observer, proofs, budget, refusals, clock, log } = this.#options;
    const { from } = head;
    const admission = budget?.admitBody(from, read.bytes, clock.monotonicMs());
    switch (read.kind) {
      case "incomplete":
        observer.pushed("incomplete");
        return undefined;
      case "too_large":
        observer.pushed("too_large");
        return replyOf(413, "route refresh payload too large\n", CLOSE);
      case "overloaded":
        observer.pushed("overloaded");
        return replyOf(503, "too many pushes at once\n", RETRY_LATER);
      case "complete": {
        const over = this.#overRate(admission, from);
        if (over) return over;
        const whole = proofs?.ofBody(proof, head, read.body) ?? DONE_NOT_PROVEN;
        if (whole.kind === "refused") return this.#unproven(whole, head);
        const { proven } = whole;
        const { status, body } = handleRefresh(read.body, {
          sink,
          observer,
          clock,
          log,
          refusals,
          from,
          proven,
        });
        return status === 204 ? NO_CONTENT : replyOf(status, body);
      }
    }
  }

  /** The reply to a push that is more than `admission` allows; undefined when it is not. */
  #overRate(admission: Admission | undefined, from: string): PeerReply | undefined {
    const { refusals, observer } = this.#options;
    switch (admission) {
      case "sender":
        refusals.tell("warn", "pushes refused: more than peers.maxPush… allows one address", () => ({
          from,
        }));
        observer.pushed("rate_limited");
        // Managers do not try again after a 4xx: the informer will tell.
        return replyOf(429, "too many pushes from this address\n", RETRY_LATER);
      case "all":
        refusals.tell("warn", "pushes refused: more than peers.maxTotalPush… allows all addresses", () => ({
          from,
        }));
        observer.pushed("overloaded");
        // As likely the fault of others: managers try again after a 5xx, and may find room.
        return replyOf(503, "too many pushes at once\n", RETRY_LATER);
      case "admitted":
      case undefined:
        return undefined;
    }
  }

  /** The reply to a push whose sender has not proved that it may push. */
  #unproven(
    { method, result }: { readonly method: ProofMethod; readonly result: ProofResult },
    { from, socket }: WirePush,
  ): PeerReply {
    const { refusals, observer, refused, tls } = this.#options;
    if (result === "overloaded") return this.#overRate("all", from) ?? NO_CONTENT;
    const isListed = result !== "not_listed";
    refusals.tell(
      "warn",
      isListed
        ? "pushes refused: their sender did not prove who it is (peers.require)"
        : "pushes refused: no name of their sender's certificate is in peers.tlsNames",
      () => ({ from, proof: method, why: result, ...(!isListed && { names: tls?.namesOf(socket) }) }),
      `${method} ${result}`,
    );
    observer.pushed(isListed ? "unproven" : "not_listed");
    refused?.(from);
    return isListed
      ? replyOf(401, "who pushes routes must prove it\n", {
          ...CLOSE,
          "www-authenticate": CHALLENGES[method],
        })
      : replyOf(403, "not allowed to push routes\n", CLOSE);
  }

  #failed(error: unknown): PeerReply {
    this.#options.log.error("answering a peer failed", { error });
    return replyOf(500, "internal error\n", CLOSE);
  }
}

function replyOf(status: number, body: string, fields: Readonly<Record<string, string>> = {}): PeerReply {
  return { status, body, fields };
}

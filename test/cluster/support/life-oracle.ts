import type { Milliseconds } from "../../../src/system/clock.ts";
import type { Answer } from "./routed-cluster.ts";

/** One pod of a sandbox, from its start until the sandbox ended, was paused or got another pod. */
interface Life {
  readonly name: string;
  readonly podUid: string;
  /** When the API server had accepted its end. */
  endedMs: Milliseconds | undefined;
  /** When each replica first showed that it knows the end. */
  readonly heardMs: Map<string, Milliseconds>;
}

/** An answer of one replica to one request. */
export interface Witness {
  readonly replica: string;
  /** The sandbox that was asked for. */
  readonly name: string;
  readonly sentMs: Milliseconds;
  readonly answeredMs: Milliseconds;
  readonly answer: Answer;
}

/** With these a replica shows that it knows that the sandbox does not run. Others may be a failure of the moment. */
const AT_REST: ReadonlySet<string> = new Set([
  "sandbox_not_found",
  "sandbox_dead",
  "sandbox_paused",
  "sandbox_creating",
]);

/** No answer of an ended pod is right so long after its end, even when the replica has not shown that it knows the end. */
const KNOWN_WITHIN_MS: Milliseconds = 15_000;

/**
 * Says which answers are wrong. Each pod answers with a UID of its own, so an answer proves which pod the request reached.
 * Wrong is an answer of another sandbox's pod, and one of a pod whose end the replica had shown to know, or had
 * {@link KNOWN_WITHIN_MS} to learn, when the request was sent. It is pure: the times are told.
 */
export class LifeOracle {
  readonly #lives = new Map<string, Life>();
  readonly #byName = new Map<string, Life[]>();
  #answers = 0;
  #latestMs: Milliseconds = 0;

  /** Answers of pods that were judged. */
  get answers(): number {
    return this.#answers;
  }

  /** How long after the end of a pod the last request was sent that it still answered. */
  get latestMs(): Milliseconds {
    return this.#latestMs;
  }

  begins(name: string, podUid: string): void {
    const life: Life = { name, podUid, endedMs: undefined, heardMs: new Map() };
    this.#lives.set(podUid, life);
    const lives = this.#byName.get(name);
    if (lives) lives.push(life);
    else this.#byName.set(name, [life]);
  }

  ends(podUid: string, nowMs: Milliseconds): void {
    const life = this.#lives.get(podUid);
    if (life) life.endedMs ??= nowMs;
  }

  /** What is wrong with an answer, in words; undefined when nothing is. */
  judge({ replica, name, sentMs, answeredMs, answer }: Witness): string | undefined {
    const life = answer.podUid === undefined ? undefined : this.#lives.get(answer.podUid);
    const isOther = answer.podUid !== undefined && life?.name !== name;
    const fault = isOther
      ? `${replica}: ${name} was answered by ${answer.from} (${answer.podUid})`
      : life && this.#lateness(life, replica, sentMs);
    if (isOther) return fault;
    if (life) this.#answers++;
    if (life !== undefined || AT_REST.has(answer.reason ?? "")) {
      for (const other of this.#byName.get(name) ?? []) {
        if (other === life || other.endedMs === undefined || other.endedMs > sentMs) continue;
        if (!other.heardMs.has(replica)) other.heardMs.set(replica, answeredMs);
      }
    }
    return fault;
  }

  #lateness(life: Life, replica: string, sentMs: Milliseconds): string | undefined {
    const { name, podUid, endedMs } = life;
    if (endedMs === undefined || sentMs <= endedMs) return undefined;
    const heardMs = life.heardMs.get(replica);
    const lateMs = sentMs - endedMs;
    this.#latestMs = Math.max(this.#latestMs, lateMs);
    const who = `${replica}: ${name} was answered by ${podUid}, which had ended ${Math.round(lateMs)} ms before`;
    if (heardMs !== undefined && sentMs > heardMs) return `${who}, and the replica had known it`;
    return lateMs > KNOWN_WITHIN_MS ? who : undefined;
  }
}

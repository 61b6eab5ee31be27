import { type Answer, type PodAnswers, type Speaker } from "./answer.ts";
import { LatencyHistogram } from "./latency-histogram.ts";

/** What came in since the last batch. Plain data: it crosses from the worker to the main thread. */
export interface Batch {
  readonly pods: readonly PodAnswers[];
  /** All answers that are not a pod's, each by itself: when it came decides what it means. */
  readonly others: readonly Answer[];
  /** Answers beyond what a batch holds: nobody has judged them. */
  readonly unjudged: number;
  /** How long pods' answers took, as {@link LatencyHistogram.pairs}. */
  readonly latency: readonly number[];
}

/** A router that is away answers nothing very fast. */
const MAX_OTHERS = 20_000;

/** Gathers answers until they are taken. */
export class BatchCollector {
  #pods = new Map<string, { -readonly [Key in keyof PodAnswers]: PodAnswers[Key] }>();
  #others: Answer[] = [];
  #unjudged = 0;
  readonly #latency = new LatencyHistogram();

  /** Adds one answer. */
  add(answer: Answer): void {
    const { outcome } = answer;
    if (outcome.kind === "pod") this.#addPod(answer, outcome.status, outcome.speaker);
    else if (this.#others.length < MAX_OTHERS) this.#others.push(answer);
    else this.#unjudged++;
  }

  /** What came since it was called last. */
  take(): Batch {
    const batch: Batch = {
      pods: [...this.#pods.values()],
      others: this.#others,
      unjudged: this.#unjudged,
      latency: this.#latency.pairs(),
    };
    this.#pods = new Map();
    this.#others = [];
    this.#unjudged = 0;
    this.#latency.clear();
    return batch;
  }

  #addPod({ target, sentMs, answeredMs }: Answer, status: number, speaker: Speaker): void {
    this.#latency.record(answeredMs - sentMs);
    const key = `${target} ${status} ${speaker.namespace}/${speaker.name} ${speaker.podUid}`;
    const before = this.#pods.get(key);
    if (before) {
      before.count++;
      before.lastSentMs = Math.max(before.lastSentMs, sentMs);
    } else {
      this.#pods.set(key, { target, status, speaker, count: 1, lastSentMs: sentMs });
    }
  }
}

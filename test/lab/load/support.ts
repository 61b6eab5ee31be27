import type { Answer } from "../../../lab/load/answer.ts";
import { LatencyHistogram } from "../../../lab/load/latency-histogram.ts";
import type { Judgement } from "../../../lab/load/oracle.ts";
import type { LoadResult } from "../../../lab/load/result.ts";
import { Tally } from "../../../lab/load/tally.ts";

/** What came in, half of it in a calm second, half of it and all others in a second of churn. */
interface Came {
  readonly right?: number;
  readonly refused?: number;
  readonly unidentified?: number;
  readonly others?: readonly (readonly [Answer, Judgement])[];
}

/** The result of a run of two seconds, through a real tally. */
export function loadResult({ right = 0, refused = 0, unidentified = 0, others = [] }: Came): LoadResult {
  const judgements = new Map<Answer, Judgement>(others);
  const tally = new Tally(1_000, {
    pod: ({ speaker }) => ({ kind: speaker.name === undefined ? "unidentified" : "right" }),
    other: (answer) => judgements.get(answer) ?? { kind: "expected" },
  });
  // The same answer may stand for several.
  const all = others.map(([answer, judgement]) => {
    const own = { ...answer };
    judgements.set(own, judgement);
    return own;
  });
  const latency = new LatencyHistogram();
  latency.record(2);
  const speaker = { name: "a", namespace: "ns" };
  const pods = (count: number, who: { name?: string }) =>
    count === 0 ? [] : [{ target: 0, status: 200, speaker: who, count, lastSentMs: 0 }];
  const refusal: Answer = {
    target: 0,
    sentMs: 0,
    answeredMs: 1,
    outcome: { kind: "router", status: 502, reason: "sandbox_paused" },
  };
  tally.begin({ kind: "calm", title: "calm", durationMs: 1_000 }, 0);
  tally.begin({ kind: "churn", title: "churn", durationMs: 1_000 }, 1_000);
  const half = Math.floor(right / 2);
  tally.add(
    {
      pods: pods(right - half, speaker),
      others: all.concat(Array.from({ length: refused }, () => ({ ...refusal }))),
      unjudged: 0,
      latency: latency.pairs(),
    },
    1_500,
  );
  tally.add(
    {
      pods: [...pods(half, speaker), ...pods(unidentified, {})],
      others: [],
      unjudged: 0,
      latency: latency.pairs(),
    },
    500,
  );
  tally.stopped(3, 1_200);
  return {
    version: "0.0.0",
    node: "v24.0.0",
    startedAt: "2026-11-21T00:00:00.000Z",
    subject: "a test",
    options: { durationS: 2 },
    ...tally.result(2_000),
    cluster: [{ label: "claims", count: 3 }],
    autocannon: { sent: 1 },
  };
}

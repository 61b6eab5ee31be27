import { digestJson, factsJson, leavesJson } from "./exchange-json.ts";
import type { LocalReplica } from "./local-replica.ts";
import { FAN_OUT, LEAVES } from "./range-digests.ts";

/** An answer to another replica: JSON with 200, a line of text otherwise. */
export interface ExchangeAnswer {
  readonly status: 200 | 400 | 404;
  readonly body: string;
}

/** Answers `GET /anti-entropy/…` (docs/peers.md#anti-entropy). Never throws. */
export function answerExchange(local: LocalReplica, path: string, query: string): ExchangeAnswer {
  const parameters = new URLSearchParams(query);
  switch (path) {
    case "/anti-entropy/digest":
      return { status: 200, body: digestJson(local.digest()) };
    case "/anti-entropy/leaves": {
      const branch = indexOf(parameters.get("branch"), FAN_OUT);
      if (branch === undefined) return bad(`branch must be 0 to ${FAN_OUT - 1}`);
      return { status: 200, body: leavesJson(local.leaves(branch)) };
    }
    case "/anti-entropy/facts": {
      const leaves = (parameters.get("leaf") ?? "").split(",").map((text) => indexOf(text, LEAVES));
      const known = leaves.filter((leaf) => leaf !== undefined);
      if (known.length < leaves.length || known.length > FAN_OUT)
        return bad(`leaf must be at most ${FAN_OUT} numbers, 0 to ${LEAVES - 1}`);
      return {
        status: 200,
        body: factsJson(local.facts([...new Set(known)], parameters.get("after") ?? undefined)),
      };
    }
    default:
      return { status: 404, body: "404 page not found\n" };
  }
}

function bad(what: string): ExchangeAnswer {
  return { status: 400, body: `${what}\n` };
}

function indexOf(text: string | null, below: number): number | undefined {
  if (text === null || !/^\d{1,4}$/.test(text)) return undefined;
  const index = Number(text);
  return index < below ? index : undefined;
}

import { answerExchange } from "../../../src/peers/anti-entropy/exchange-answers.ts";
import { Comparison, type ComparisonOptions, type Look } from "../../../src/peers/anti-entropy/comparison.ts";
import { readDigest, readFacts, readLeaves } from "../../../src/peers/anti-entropy/exchange-json.ts";
import { LocalReplica } from "../../../src/peers/anti-entropy/local-replica.ts";
import type { Replica } from "../../../src/peers/anti-entropy/replica.ts";
import type { RouteTable, RouteTableOptions } from "../../../src/routes/table.ts";
import { newTable } from "../../support/defaults.ts";

/** A table with its digests, as others see it. */
export interface TestReplica {
  readonly name: string;
  readonly table: RouteTable;
  readonly local: LocalReplica;
  /** Everything goes through the texts of the wire. */
  readonly remote: Replica;
}

export function testReplica(name: string, options: Partial<RouteTableOptions> = {}): TestReplica {
  const table = newTable({ scopes: "none", ...options });
  return asReplica(name, table, Array.isArray(options.scopes));
}

export function asReplica(name: string, table: RouteTable, watched: boolean): TestReplica {
  const local = new LocalReplica({ table, watched, selector: "", instance: name });
  const ask = (path: string, query: string): Promise<string> => {
    const { status, body } = answerExchange(local, `/anti-entropy/${path}`, query);
    return status === 200 ? Promise.resolve(body) : Promise.reject(new Error(body));
  };
  const remote: Replica = {
    digest: async () => readDigest(await ask("digest", "")),
    leaves: async (branch) => readLeaves(await ask("leaves", `branch=${branch}`)),
    facts: async (leaves, after) =>
      readFacts(
        await ask(
          "facts",
          new URLSearchParams({ leaf: leaves.join(","), ...(after && { after }) }).toString(),
        ),
      ),
  };
  return { name, table, local, remote };
}

/** One replica's comparison with another. */
export function comparisonOf(
  { local, table }: TestReplica,
  from: string,
  options: Partial<ComparisonOptions> & { readonly nowMs?: number } = {},
): Comparison {
  const { nowMs = 0, ...rest } = options;
  return new Comparison({
    local,
    sink: {
      relayUpdate: (route, by) => table.pushUpdate(route, nowMs, by, false, true),
      relayDelete: (push, by) => table.pushDelete(push, nowMs, by, false, true),
    },
    from,
    looks: 1,
    ...rest,
  });
}

/** Each compares with each other, until none learns anything; returns how many rounds it took. */
export async function compareAll(replicas: readonly TestReplica[], maxRounds = 10): Promise<number> {
  const pairs = replicas.flatMap((one) =>
    replicas
      .filter((other) => other !== one)
      .map((other) => ({ comparison: comparisonOf(one, other.name), other })),
  );
  for (let round = 1; round <= maxRounds; round++) {
    let learned = 0;
    for (const { comparison, other } of pairs) {
      const look: Look = await comparison.look(other.remote);
      if (look.kind === "different") learned += look.outcomes.length;
    }
    if (learned === 0) return round;
  }
  throw new Error(`replicas still learn after ${maxRounds} rounds`);
}

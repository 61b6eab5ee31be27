import type { TableSnapshot } from "../../../src/routes/object-facts.ts";
import type { RouteTable } from "../../../src/routes/table.ts";

/** All that a table knows at this moment. */
export function snapshotOf(table: RouteTable, takenAtMs: number): TableSnapshot {
  const objects = Array.from(table.keys(), (key) => table.factsOf(key)).filter(
    (facts) => facts !== undefined,
  );
  return { takenAtMs, scopes: table.stats().scopes, objects };
}

import type { DoubtNames } from "../routes/doubts.ts";
import type { RouteInEffect } from "../routes/lookup.ts";
import type { TableListener } from "../routes/news.ts";
import type { ObjectKey } from "../routes/route.ts";

/** The read side of the table, as the feed needs it. */
export interface RouteSource {
  readonly synced: boolean;
  keys(): Iterable<ObjectKey>;
  inspect(key: ObjectKey): { readonly inEffect: RouteInEffect | undefined } | undefined;
  doubtKeys(): Iterable<ObjectKey>;
  doubtOf(key: ObjectKey): DoubtNames | undefined;
  addListener(listener: TableListener): () => void;
}

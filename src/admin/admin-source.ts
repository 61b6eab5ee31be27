import type {
  ConfigView,
  ExplainInput,
  Explanation,
  Overview,
  PeersView,
  PreviewInput,
  PreviewLink,
  RouteHistoryView,
  RoutesFound,
  RoutesPage,
} from "./api-types.ts";
import type { Status } from "./status-types.ts";
import type { SearchQuery } from "./route-search.ts";

/** Which routes to show. */
export interface RoutesQuery {
  /** At most this many, at least 1. */
  readonly limit: number;
  /** Only keys (`namespace/name`) after this one, by code unit; from the first when absent. */
  readonly after?: string | undefined;
}

/**
 * Where the admin port gets what it shows. Called once per request; what it throws becomes a 500 and goes to the log.
 * It never hands over a token: no type of the API has a field for one.
 */
export interface AdminSource {
  overview(): Overview;
  /** May take its time, so that finding a page in a large table need not hold up traffic. */
  routes(query: RoutesQuery): RoutesPage | Promise<RoutesPage>;
  /**
   * What would happen to a request. `input` is as it was asked, header values and query included; the server blanks
   * both in what it sends, since they may hold tokens.
   */
  explain(input: ExplainInput): Explanation;
  /** A window on the routes that match. */
  search(query: SearchQuery): Promise<RoutesFound>;
  /** What the table was told of one object; nothing of an object that nobody told it of. */
  history(namespace: string, name: string): RouteHistoryView;
  /** Who pushes, and who there is. */
  peers(): PeersView;
  /** What is in effect, without secrets. */
  config(): ConfigView;
  /** How things are, at most a second old; `sinceMs` (since the epoch) leaves out older points. */
  status(sinceMs?: number): Promise<Status>;
  /**
   * Makes a preview link; absent: there are none. Throws `AdminQueryError` when that can't be.
   */
  preview?(input: PreviewInput): PreviewLink;
  /** Prometheus's text format 0.0.4. */
  metrics(): Promise<string>;
}

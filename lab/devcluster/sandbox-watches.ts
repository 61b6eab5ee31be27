import type { ServerResponse } from "node:http";
import type { Clock, Milliseconds } from "../../src/system/clock.ts";
import { parseResourceVersion } from "../../src/routes/resource-version.ts";
import { ApiError, toApiError } from "./api-error.ts";
import { negotiateRepresentation, type Representation } from "./content-negotiation.ts";
import { wholeNumber } from "./list-page.ts";
import { jsonOf } from "./object-json.ts";
import { type ObjectStore, tooLargeVersion, versionText } from "./object-store.ts";
import { type Random, randomInteger } from "./random.ts";
import { SANDBOX_KIND, type ServedCrd } from "./sandbox.ts";
import { parseSelector } from "./selector.ts";
import type { StoreEvent } from "./store-history.ts";
import { type IncludeObject, parseIncludeObject, printTable, SANDBOX_COLUMNS } from "./table-printer.ts";
import { selectEvent, type WatchEvent, WatchStream } from "./watch-stream.ts";

/** A watch as it was asked for. */
export interface WatchRequest {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly query: URLSearchParams;
  readonly accept: string | undefined;
}

/** How watches are served. */
export interface WatchSettings {
  /** How often a watch that allows bookmarks gets one. */
  readonly bookmarkIntervalMs: Milliseconds;
  /** A watcher that lets more bytes than this wait is cut off. */
  readonly maxBufferedBytes: number;
  /** How a compacted version is told: in the stream, or as the HTTP status. Real servers do both. */
  readonly expiredAs: "event" | "status";
  /** How much later events reach the client. */
  readonly delayMs: Milliseconds;
  /** True while the server stalls: new watches say nothing either. */
  readonly held: boolean;
  /** A watch may begin with a list (`sendInitialEvents`), as in Kubernetes 1.34; otherwise 422, as with the feature gate off. */
  readonly watchList: boolean;
}

/** The watches on the `sandboxes` of a store. */
export class SandboxWatches {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #open = new Set<WatchStream>();

  constructor(store: ObjectStore, clock: Clock, random: Random) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
  }

  /** Those that are open. */
  get open(): ReadonlySet<WatchStream> {
    return this.#open;
  }

  /**
   * Serves a watch on `response` until either side ends it.
   * @throws ApiError before anything was written
   */
  serve(request: WatchRequest, response: ServerResponse, settings: WatchSettings): void {
    const { query } = request;
    checkListOptions(query, settings.watchList);
    const isList = query.get("sendInitialEvents") === "true";
    const hasBookmarks = query.get("allowWatchBookmarks") === "true";
    const selects = parseSelector(request.namespace, query);
    const representation = negotiateRepresentation(request.accept);
    const timeoutSeconds = wholeNumber(query, "timeoutSeconds");
    const wanted = query.get("resourceVersion") ?? "";
    if (wanted !== "" && wanted !== "0" && parseResourceVersion(wanted) === undefined) {
      throw new ApiError("BadRequest", `invalid resource version ${JSON.stringify(wanted)}`);
    }
    const backlog = isList ? this.#initialEvents(wanted) : this.#backlog(wanted, settings.expiredAs);
    if (response.destroyed) return;
    const cleanUp: (() => void)[] = [];
    const stream = new WatchStream(response, {
      clock: this.#clock,
      encode: this.#encoder(representation, parseIncludeObject(query)),
      timeoutMs: (timeoutSeconds || randomInteger(this.#random, 1800, 3600)) * 1000,
      delayMs: settings.delayMs,
      maxBufferedBytes: settings.maxBufferedBytes,
      onEnd: () => {
        this.#open.delete(stream);
        for (const end of cleanUp) end();
      },
    });
    this.#open.add(stream);
    stream.setHeld(settings.held);
    if (backlog instanceof ApiError) {
      stream.send({ type: "ERROR", error: backlog });
      stream.finish();
      return;
    }
    const since = wanted === "" || isList ? 0n : BigInt(wanted);
    const deliver = (event: StoreEvent, isBacklog = false): void => {
      const selected = event.version > since ? selectEvent(event, selects) : undefined;
      if (selected) stream.send(selected, isBacklog);
    };
    // All in one turn: nothing can happen between the backlog and the first live event.
    cleanUp.push(this.#store.subscribe((event) => deliver(event)));
    if (hasBookmarks) this.#bookmark(stream, since, settings.bookmarkIntervalMs, cleanUp);
    for (const event of backlog) deliver(event, true);
    if (isList && hasBookmarks) {
      stream.send({ type: "BOOKMARK", version: this.#store.version, endsInitialEvents: true }, true);
    }
  }

  /**
   * Bookmarks tell the store's version when they are queued, so a delayed one never overtakes an event. As from a real API
   * server, none tells a version below the one that the watch began at: a watch from the future hears nothing.
   */
  #bookmark(stream: WatchStream, since: bigint, intervalMs: Milliseconds, cleanUp: (() => void)[]): void {
    const tick = (): void => {
      const { version } = this.#store;
      if (version >= since) stream.send({ type: "BOOKMARK", version });
      timer = this.#clock.setTimeout(tick, intervalMs);
    };
    let timer = this.#clock.setTimeout(tick, intervalMs);
    cleanUp.push(() => timer.clear());
  }

  /** What a watch that begins with a list is told first: all objects as they are. */
  #initialEvents(wanted: string): readonly StoreEvent[] | ApiError {
    const { version } = this.#store;
    if (wanted !== "" && BigInt(wanted) > version) return tooLargeVersion(BigInt(wanted), version);
    return this.#backlog("", "event");
  }

  /** What a new watch is told first: what happened since its version, or everything that is there. */
  #backlog(wanted: string, expiredAs: WatchSettings["expiredAs"]): readonly StoreEvent[] | ApiError {
    if (wanted === "" || wanted === "0") {
      const { items } = this.#store.snapshot();
      return items.map((object) => ({
        type: "ADDED",
        version: BigInt(object.metadata.resourceVersion),
        object,
        previous: undefined,
      }));
    }
    try {
      return this.#store.eventsAfter(BigInt(wanted));
    } catch (error) {
      if (expiredAs === "event") return toApiError(error);
      throw error;
    }
  }

  #encoder(representation: Representation, include: IncludeObject): (event: WatchEvent) => string {
    let headers = true;
    return (event) => {
      if (event.type === "ERROR") return JSON.stringify({ type: "ERROR", object: event.error.toStatus() });
      if (representation.as === "object") {
        const object =
          event.type === "BOOKMARK"
            ? JSON.stringify(bookmarkObject(event, this.#store.crd))
            : jsonOf(event.object);
        return `{"type":"${event.type}","object":${object}}`;
      }
      const { version } = representation;
      const items = event.type === "BOOKMARK" ? [] : [event.object];
      const rv =
        event.type === "BOOKMARK" ? versionText(event.version) : event.object.metadata.resourceVersion;
      const table = printTable(items, SANDBOX_COLUMNS, {
        version,
        includeObject: include,
        headers,
        nowMs: this.#clock.nowMs(),
        metadata: { resourceVersion: rv },
      });
      headers = false;
      return JSON.stringify({ type: event.type, object: table });
    };
  }
}

/** @throws ApiError for options that kube-apiserver 1.35 refuses. */
function checkListOptions(query: URLSearchParams, watchList: boolean): void {
  const sendInitialEvents = query.get("sendInitialEvents");
  const match = query.get("resourceVersionMatch");
  if (sendInitialEvents && !watchList) {
    const why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
    refuse("sendInitialEvents", why);
  }
  if (sendInitialEvents && match !== "NotOlderThan") {
    refuse("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  }
  if (!sendInitialEvents && match) {
    refuse(
      "resourceVersionMatch",
      "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    );
  }
}

function refuse(field: string, why: string): never {
  throw new ApiError("Invalid", `ListOptions.meta.k8s.io "" is invalid: ${field}: Forbidden: ${why}`);
}

function bookmarkObject(
  { version, endsInitialEvents }: WatchEvent & { readonly type: "BOOKMARK" },
  { apiVersion }: ServedCrd,
): unknown {
  const annotations = { "k8s.io/initial-events-end": "true" };
  return {
    apiVersion,
    kind: SANDBOX_KIND,
    metadata: {
      resourceVersion: versionText(version),
      creationTimestamp: null,
      ...(endsInitialEvents && { annotations }),
    },
  };
}

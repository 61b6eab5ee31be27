import type { Observation } from "../routes/observation.ts";
import type { ResourceVersion } from "../routes/resource-version.ts";
import type { ApiClient, ApiRequest, ApiResponse } from "./api-client.ts";
import { listPath, streamPath, type WatchTarget, watchPath } from "./api-paths.ts";
import { EventStream } from "./event-stream.ts";
import { ApiFault } from "./fault.ts";
import { InitialEvents, NoInitialEvents, type WholeList } from "./initial-events.ts";
import { listPages, readVersion } from "./list-pages.ts";
import type { ReflectorSettings } from "./reflector-settings.ts";
import type { ScopeFeed } from "./scope-feed.ts";
import type { WatchedObject } from "./watched-object.ts";

/** Options of {@link ScopeRequests}. */
export interface ScopeRequestsOptions<T extends WatchedObject> {
  readonly target: WatchTarget<T>;
  readonly api: Pick<ApiClient, "get">;
  /** In [0, 1), as `Math.random`. */
  readonly random: () => number;
  readonly settings: ReflectorSettings;
  /** Ends every request that has no signal of its own. */
  readonly stopping: AbortSignal;
}

/** A list that was read as the first events of a watch, and that watch. */
export interface StreamedList<T extends WatchedObject> {
  readonly list: WholeList<T>;
  readonly events: EventStream;
}

/** What the API server is asked about one scope, and for how long it may be silent. Every method but {@link isReady} throws {@link ApiFault}. */
export class ScopeRequests<T extends WatchedObject = Observation> {
  readonly #options: ScopeRequestsOptions<T>;

  constructor(options: ScopeRequestsOptions<T>) {
    this.#options = options;
  }

  /** Reads a list page by page. */
  async readPages(feed: ScopeFeed<T>, unauthorized: boolean): Promise<WholeList<T>> {
    const { settings, target } = this.#options;
    let observations: T[] = [];
    let reloadCredentials = unauthorized;
    const version = await listPages({
      pageSize: settings.pageSize,
      maxPageBytes: settings.maxPageBytes,
      onRestart: () => void (observations = []),
      onObject: (object) => {
        const observation = feed.project(object);
        if (observation !== undefined) observations.push(observation);
      },
      getPage: async (limit, continueToken) => {
        const response = await this.#get(listPath(target, limit, continueToken), {
          idleTimeoutMs: settings.listIdleTimeoutMs,
          reloadCredentials,
        });
        reloadCredentials = false;
        return response.chunks;
      },
    });
    return { version, observations };
  }

  /**
   * Reads a list as the first events of a watch, which stays open. Resolves to the server's refusal when it, or what stands before it, does not
   * know how to stream a list. When it throws, the watch is closed.
   */
  async streamList(
    feed: ScopeFeed<T>,
    reloadCredentials: boolean,
    signal: AbortSignal,
  ): Promise<StreamedList<T> | Error> {
    const { settings, target, stopping } = this.#options;
    const initial = new InitialEvents<T>((object) => feed.project(object));
    let events: EventStream | undefined;
    try {
      const { chunks } = await this.#get(streamPath(target, this.#watchSeconds()), {
        idleTimeoutMs: () =>
          initial.list === undefined ? settings.listIdleTimeoutMs : settings.stallTimeoutMs,
        reloadCredentials,
        signal,
      });
      events = new EventStream(chunks, settings.maxEventBytes);
      const take: Parameters<EventStream["read"]>[0] = (event) => {
        if (event.kind !== "unknown") return initial.take(event);
        feed.deliver(event);
        return false;
      };
      await events.read(take, () => {});
      if (initial.list === undefined)
        throw new ApiFault("reset", "the API server ended the watch before its list was whole");
      return { list: initial.list, events };
    } catch (error) {
      await events?.close();
      if (stopping.aborted || !isRefusal(error, events !== undefined)) throw error;
      return error;
    }
  }

  /** Opens a watch of what came after `from`. */
  async openWatch(
    from: ResourceVersion,
    reloadCredentials: boolean,
    signal: AbortSignal,
  ): Promise<EventStream> {
    const { settings, target } = this.#options;
    const { chunks } = await this.#get(watchPath(target, from, this.#watchSeconds()), {
      idleTimeoutMs: settings.stallTimeoutMs,
      reloadCredentials,
      signal,
    });
    return new EventStream(chunks, settings.maxEventBytes);
  }

  /** Reads the server's present version. */
  readVersion(reloadCredentials: boolean, signal: AbortSignal): Promise<ResourceVersion> {
    const { settings, target } = this.#options;
    return readVersion({
      maxPageBytes: settings.maxPageBytes,
      getPage: async () => {
        const { chunks } = await this.#get(listPath(target, 1, ""), {
          idleTimeoutMs: settings.listIdleTimeoutMs,
          reloadCredentials,
          signal,
        });
        return chunks;
      },
    });
  }

  /** Whether the server says that it is ready. Never rejects. */
  async isReady(signal: AbortSignal): Promise<boolean> {
    try {
      const idleTimeoutMs = this.#options.settings.listIdleTimeoutMs;
      const { chunks } = await this.#get("/readyz", { idleTimeoutMs, reloadCredentials: false, signal });
      for await (const _ of chunks);
      return true;
    } catch {
      return false;
    }
  }

  #get(
    path: string,
    options: {
      readonly idleTimeoutMs: ApiRequest["idleTimeoutMs"];
      readonly reloadCredentials: boolean;
      readonly signal?: AbortSignal;
    },
  ): Promise<ApiResponse> {
    const { api, settings, stopping } = this.#options;
    return api.get({
      path,
      firstByteTimeoutMs: settings.firstByteTimeoutMs,
      signal: stopping,
      ...options,
    });
  }

  /** A random time, so that the watches of many routers do not end together. */
  #watchSeconds(): number {
    const { settings, random } = this.#options;
    const [minSeconds, maxSeconds] = settings.watchSeconds;
    return Math.floor(minSeconds + random() * (maxSeconds - minSeconds));
  }
}

/** The server, or what stands before it, does not know how to stream a list. `answered`: with 200. */
function isRefusal(error: unknown, answered: boolean): error is NoInitialEvents | ApiFault {
  if (error instanceof NoInitialEvents) return true;
  // Stalled: Kubernetes before 1.27 sends all objects, and then waits for changes.
  return (
    error instanceof ApiFault && (error.code === "bad_request" || (error.code === "stalled" && answered))
  );
}

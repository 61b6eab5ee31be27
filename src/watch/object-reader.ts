import type { Milliseconds } from "../system/clock.ts";
import type { Observation } from "../routes/observation.ts";
import type { ResourceVersion } from "../routes/resource-version.ts";
import type { ApiClient } from "./api-client.ts";
import { listPath, type WatchTarget } from "./api-paths.ts";
import { faultFrom } from "./fault.ts";
import { listPages } from "./list-pages.ts";
import type { WatchedObject } from "./watched-object.ts";

/** What a consistent read says of one object: `undefined` when there is none, or the selector leaves it out. */
export interface ReadObject<T extends WatchedObject = Observation> {
  readonly version: ResourceVersion;
  readonly observation: T | undefined;
}

/** What a consistent read says of all objects of a namespace, by name. */
export interface ReadNamespace<T extends WatchedObject = Observation> {
  readonly version: ResourceVersion;
  readonly observations: ReadonlyMap<string, T>;
}

/** Options of {@link ObjectReader}. */
export interface ObjectReaderOptions<T extends WatchedObject> {
  /** What is watched: a read asks for the same resource, with the same selectors. */
  readonly target: Omit<WatchTarget<T>, "scope">;
  readonly api: Pick<ApiClient, "get">;
  readonly pageSize: number;
  readonly maxPageBytes: number;
  /** Longest wait for the head of an answer, and longest silence within it. */
  readonly timeoutMs: Milliseconds;
}

/**
 * Reads objects one by one, or a namespace at once, as they are at this moment. A list without a resourceVersion is "most
 * recent" (Kubernetes API concepts): it shows whatever was true when it was sent, or later. A list with a field selector
 * needs no right that the informer has not.
 */
export class ObjectReader<T extends WatchedObject = Observation> {
  readonly #options: ObjectReaderOptions<T>;
  readonly #stopping = new AbortController();
  #reloadCredentials = false;

  constructor(options: ObjectReaderOptions<T>) {
    this.#options = options;
  }

  /** @throws {ApiFault} when the API server does not answer, or not as Kubernetes does. */
  async readObject(namespace: string, name: string): Promise<ReadObject<T>> {
    const { version, observations } = await this.#read(namespace, `metadata.name=${name}`);
    return { version, observation: observations.get(name) };
  }

  /** @throws {ApiFault} as {@link ObjectReader.readObject}. */
  readNamespace(namespace: string): Promise<ReadNamespace<T>> {
    return this.#read(namespace, undefined);
  }

  /** Cuts what is under way. */
  stop(): void {
    this.#stopping.abort();
  }

  async #read(namespace: string, nameSelector: string | undefined): Promise<ReadNamespace<T>> {
    const { target, api, pageSize, maxPageBytes, timeoutMs } = this.#options;
    const selectors = [target.fieldSelector, nameSelector].filter(Boolean);
    const narrowed = { ...target, scope: namespace, fieldSelector: selectors.join(",") || undefined };
    const observations = new Map<string, T>();
    try {
      const version = await listPages({
        pageSize,
        maxPageBytes,
        onRestart: () => observations.clear(),
        onObject(object) {
          const projection = target.resource.project(object);
          // What can't be read is no sandbox; the informer counts it and says so.
          if (projection.kind !== "observation" || projection.observation.namespace !== namespace) return;
          observations.set(projection.observation.name, projection.observation);
        },
        getPage: async (limit, continueToken) => {
          const reloadCredentials = this.#reloadCredentials;
          this.#reloadCredentials = false;
          const response = await api.get({
            path: listPath(narrowed, limit, continueToken),
            firstByteTimeoutMs: timeoutMs,
            idleTimeoutMs: timeoutMs,
            reloadCredentials,
            signal: this.#stopping.signal,
          });
          return response.chunks;
        },
      });
      return { version, observations };
    } catch (error) {
      const fault = faultFrom(error);
      this.#reloadCredentials = fault.code === "unauthorized";
      throw fault;
    }
  }
}

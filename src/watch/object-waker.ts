import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Observation } from "../routes/observation.ts";
import { parseResourceVersion, type ResourceVersion } from "../routes/resource-version.ts";
import { GrowingBytes } from "../system/growing-bytes.ts";
import type { ApiClient, ApiRequest } from "./api-client.ts";
import { listPath, objectPath, type WatchTarget } from "./api-paths.ts";
import { ApiFault, faultFrom } from "./fault.ts";
import { type JsonObject, objectOrEmpty } from "./json-fields.ts";
import { listPages } from "./list-pages.ts";
import type { WatchedObject } from "./watched-object.ts";
import type { WakePlan } from "./wake-plan.ts";

/**
 * What came of an attempt to wake an object. `patched`: this attempt has woken it, and `version` is the object's since then; of one that is
 * `awake` it is the version that was read. Others as in {@link WakePlan}.
 */
export type WakeResult =
  | { readonly kind: "patched" | "awake"; readonly version: ResourceVersion }
  | { readonly kind: "not_allowed" | "replaced" };

/** Options of {@link ObjectWaker}. */
export interface ObjectWakerOptions<T extends WatchedObject> {
  /** What is watched; an object that the selectors leave out is not woken. Its resource must have `planWake`. */
  readonly target: Omit<WatchTarget<T>, "scope">;
  readonly api: ApiClient;
  readonly maxPageBytes: number;
  /** Longest wait for the head of an answer, and longest silence within it. */
  readonly timeoutMs: Milliseconds;
  readonly clock: Clock;
}

/** Somebody else may change the object between the read and the patch, again and again; this often is no accident. */
const MAX_CONFLICTS = 5;

/**
 * Wakes objects: reads one as it is at this moment, plans, and patches exactly the version that was read. Of several that wake one
 * object at once, here and in other routers, one succeeds; the others read that it is awake.
 */
export class ObjectWaker<T extends WatchedObject = Observation> {
  readonly #options: ObjectWakerOptions<T>;
  readonly #stopping = new AbortController();
  #reloadCredentials = false;

  constructor(options: ObjectWakerOptions<T>) {
    this.#options = options;
  }

  /**
   * Wakes the object with this UID.
   *
   * @throws {ApiFault} when the API server does not answer, or refuses: `forbidden` without the right to patch.
   */
  async wake(namespace: string, name: string, uid: string): Promise<WakeResult> {
    const { target, clock } = this.#options;
    const { planWake } = target.resource;
    if (planWake === undefined) return { kind: "not_allowed" };
    for (let conflicts = 0; ; conflicts++) {
      const object = await this.#read(namespace, name);
      const plan: WakePlan =
        object === undefined ? { kind: "replaced" } : planWake(object, uid, clock.nowMs());
      if (plan.kind === "awake") return { kind: "awake", version: versionOf(object) };
      if (plan.kind !== "patch") return plan;
      try {
        return { kind: "patched", version: versionOf(await this.#patch(namespace, name, plan.body)) };
      } catch (error) {
        const fault = faultFrom(error);
        // Gone between the read and the patch.
        if (fault.code === "not_found") return { kind: "replaced" };
        if (fault.code !== "conflict" || conflicts === MAX_CONFLICTS) throw fault;
      }
    }
  }

  /** Cuts what is under way. */
  stop(): void {
    this.#stopping.abort();
  }

  /** The object at this moment. By a list with a field selector: that needs no right which the informer has not. */
  async #read(namespace: string, name: string): Promise<unknown> {
    const { target, api, maxPageBytes } = this.#options;
    const fieldSelector = [target.fieldSelector, `metadata.name=${name}`].filter(Boolean).join(",");
    const narrowed = { ...target, scope: namespace, fieldSelector };
    let found: unknown;
    await this.#ask(() =>
      listPages({
        pageSize: 1,
        maxPageBytes,
        onRestart: () => (found = undefined),
        onObject(object) {
          found = object;
        },
        getPage: async (limit, continueToken) =>
          (await api.get(this.#request(listPath(narrowed, limit, continueToken)))).chunks,
      }),
    );
    return found;
  }

  /** The object as it is since the patch. */
  async #patch(namespace: string, name: string, patch: JsonObject): Promise<unknown> {
    const { target, api, maxPageBytes } = this.#options;
    const path = objectPath(target.resource, namespace, name);
    return this.#ask(async () => {
      const { chunks } = await api.mergePatch(this.#request(path), patch);
      const bytes = new GrowingBytes();
      for await (const chunk of chunks) {
        bytes.append(chunk, 0, chunk.length);
        if (bytes.length > maxPageBytes)
          throw new ApiFault("oversized", `the patched object has above ${maxPageBytes} bytes`);
      }
      try {
        return JSON.parse(bytes.bytes.toString()) as unknown;
      } catch (error) {
        throw new ApiFault("protocol", "what the API server answered to a patch is not JSON", {
          cause: error,
        });
      }
    });
  }

  #request(path: string): ApiRequest {
    const { timeoutMs } = this.#options;
    const reloadCredentials = this.#reloadCredentials;
    this.#reloadCredentials = false;
    const times = { firstByteTimeoutMs: timeoutMs, idleTimeoutMs: timeoutMs };
    return { path, ...times, reloadCredentials, signal: this.#stopping.signal };
  }

  async #ask<R>(request: () => Promise<R>): Promise<R> {
    try {
      return await request();
    } catch (error) {
      const fault = faultFrom(error);
      this.#reloadCredentials = fault.code === "unauthorized";
      throw fault;
    }
  }
}

function versionOf(object: unknown): ResourceVersion {
  const version = parseResourceVersion(objectOrEmpty(objectOrEmpty(object)["metadata"])["resourceVersion"]);
  if (version === undefined)
    throw new ApiFault("protocol", "the API server sent an object without a resourceVersion");
  return version;
}

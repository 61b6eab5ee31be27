import type { Clock, Milliseconds } from "../../src/system/clock.ts";
import type { ClusterListener } from "./cluster-event.ts";
import { idOf } from "./controller.ts";
import type { ObjectStore } from "./object-store.ts";
import { routeToPush } from "./pushed-route.ts";
import type { Pusher } from "./pusher.ts";
import type { Random } from "./random.ts";
import { claimDraft, type ClaimRequest, pooledSandbox } from "./sandbox-template.ts";
import type { SandboxSet } from "./sandbox-set.ts";
import { isReady, OWNER_ANNOTATION, type Sandbox, type StoredSandbox } from "./sandbox.ts";

/** What a {@link SandboxManager} works with. */
export interface SandboxManagerOptions {
  readonly store: ObjectStore;
  readonly pools: readonly SandboxSet[];
  readonly pusher: Pusher;
  readonly clock: Clock;
  readonly random: Random;
  /** What each cloned object carries besides the facts, in bytes. */
  readonly bulkBytes: number;
  readonly listener?: ClusterListener;
  /** How long a sandbox may take to become ready. Default 30 s. */
  readonly readyTimeoutMs?: Milliseconds;
}

/** A sandbox did not become what was asked for in time, or went away meanwhile. */
export class SandboxManagerError extends Error {
  override readonly name = "SandboxManagerError";
  readonly code: "NO_POOL" | "NOT_READY" | "GONE" | "STOPPED";

  constructor(code: SandboxManagerError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * What users talk to: claims, clones, pauses, resumes and removes sandboxes, and pushes the new route to its
 * peers each time, at the version that it has itself (docs/openkruise.md#pushes). What others change (kubectl, the
 * controller) it does not push.
 */
export class SandboxManager {
  readonly #options: SandboxManagerOptions;
  /** Rejects each wait that is under way. */
  readonly #waits = new Set<(error: Error) => void>();
  #stopped = false;

  constructor(options: SandboxManagerOptions) {
    this.#options = options;
  }

  /**
   * Gives a waiting sandbox of a pool (default: the first pool) to a user; waits for one when none is ready.
   * @throws SandboxManagerError
   */
  async claim(request: ClaimRequest & { readonly pool?: string }): Promise<StoredSandbox> {
    const { pools, store, random } = this.#options;
    const pool =
      request.pool === undefined ? pools[0] : pools.find(({ options }) => options.name === request.pool);
    if (!pool) throw new SandboxManagerError("NO_POOL", `there is no pool ${request.pool ?? ""}`);
    const available =
      pool.takeAvailable() ??
      (await this.#waitFor(() => pool.takeAvailable(), "a sandbox to wait in the pool"));
    const { namespace, name } = available.metadata;
    const claimed = store.modify(namespace, name, (draft) => claimDraft(draft, request, random));
    this.#tellClaim(claimed, "");
    this.#push(claimed);
    return claimed;
  }

  /**
   * Makes a new sandbox for a user, in no pool, and waits until it runs.
   * @throws SandboxManagerError
   */
  async clone(
    request: ClaimRequest & { readonly namespace: string; readonly namePrefix?: string },
  ): Promise<StoredSandbox> {
    const { store, random, bulkBytes } = this.#options;
    const { namespace, namePrefix = "clone" } = request;
    const draft = pooledSandbox(random, { namespace, name: namePrefix }, bulkBytes) as unknown as Sandbox;
    claimDraft(draft, request, random);
    const { uid, name } = store.create(draft).metadata;
    const running = await this.#waitUntilReady(namespace, name, uid);
    this.#tellClaim(running, " (a clone)");
    this.#push(running);
    return running;
  }

  /** Pauses a sandbox: sets `spec.paused`. The pod dies a little later. */
  async pause(namespace: string, name: string): Promise<StoredSandbox> {
    const paused = this.#setPaused(namespace, name, true);
    this.#push(paused);
    return paused;
  }

  /**
   * Resumes a sandbox and waits until it runs again, in another pod.
   * @throws SandboxManagerError
   */
  async resume(namespace: string, name: string): Promise<StoredSandbox> {
    const { uid } = this.#setPaused(namespace, name, false).metadata;
    const running = await this.#waitUntilReady(namespace, name, uid);
    this.#push(running);
    return running;
  }

  /** Deletes a sandbox and pushes it as dead, at the version that was known before the deletion. */
  async remove(namespace: string, name: string): Promise<void> {
    const { store, clock, pusher } = this.#options;
    const cached = store.get(namespace, name);
    store.delete(namespace, name);
    if (cached) pusher.push({ ...routeToPush(cached, clock.nowMs()), state: "dead" });
  }

  /** Ends every wait: what was asked for and is not ready yet rejects with `STOPPED`. */
  stop(): void {
    this.#stopped = true;
    for (const reject of this.#waits) reject(new SandboxManagerError("STOPPED", "the cluster is stopping"));
  }

  #setPaused(namespace: string, name: string, paused: boolean): StoredSandbox {
    return this.#options.store.modify(namespace, name, (draft) => {
      draft.spec.paused = paused;
    });
  }

  #push(sandbox: StoredSandbox): void {
    this.#options.pusher.push(routeToPush(sandbox, this.#options.clock.nowMs()));
  }

  #tellClaim(sandbox: StoredSandbox, how: string): void {
    const { namespace, name, annotations } = sandbox.metadata;
    const owner = annotations?.[OWNER_ANNOTATION] ?? "nobody";
    const { podIP, podUID } = sandbox.status?.podInfo ?? {};
    this.#options.listener?.({
      kind: "claimed",
      atMs: this.#options.clock.nowMs(),
      namespace,
      name,
      id: idOf(sandbox),
      detail: `by ${owner}${how}`,
      ...(podIP !== undefined && { ip: podIP }),
      ...(podUID !== undefined && { podUid: podUID }),
    });
  }

  async #waitUntilReady(namespace: string, name: string, uid: string): Promise<StoredSandbox> {
    return this.#waitFor(() => {
      const sandbox = this.#options.store.get(namespace, name);
      if (sandbox?.metadata.uid !== uid || sandbox.metadata.deletionTimestamp !== undefined) {
        throw new SandboxManagerError("GONE", `${namespace}/${name} was deleted before it ran`);
      }
      return sandbox.status?.phase === "Running" && isReady(sandbox) ? sandbox : undefined;
    }, `${namespace}/${name} to run`);
  }

  /** Looks again after every change of the store. */
  async #waitFor(find: () => StoredSandbox | undefined, what: string): Promise<StoredSandbox> {
    const { store, clock, readyTimeoutMs = 30_000 } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<StoredSandbox>();
    const look = (): void => {
      try {
        const found = find();
        if (!found) return;
        // At once, and not when the promise is seen to be settled: what was found must not be looked for again.
        unsubscribe();
        resolve(found);
      } catch (error) {
        unsubscribe();
        reject(error);
      }
    };
    const unsubscribe = store.subscribe(look);
    const timer = clock.setTimeout(() => {
      reject(new SandboxManagerError("NOT_READY", `waited ${readyTimeoutMs} ms for ${what}`));
    }, readyTimeoutMs);
    this.#waits.add(reject);
    if (this.#stopped) this.stop();
    else look();
    return promise.finally(() => {
      unsubscribe();
      timer.clear();
      this.#waits.delete(reject);
    });
  }
}

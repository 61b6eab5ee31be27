import { isDeepStrictEqual } from "node:util";
import { LRUCache } from "lru-cache";
import type { Clock } from "../../src/system/clock.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { objectKey, type ObjectKey } from "../../src/routes/route.ts";
import { ApiError } from "./api-error.ts";
import { type Random, randomText, randomUuid } from "./random.ts";
import { parseSandbox } from "./sandbox-validation.ts";
import {
  kubernetesTime,
  OPENKRUISE_CRD,
  SANDBOX_RESOURCE,
  type Sandbox,
  type SandboxManifest,
  type ServedCrd,
  type StoredSandbox,
} from "./sandbox.ts";
import { type StoreEvent, StoreHistory } from "./store-history.ts";

/** How an {@link ObjectStore} is made. */
export interface ObjectStoreOptions {
  readonly clock: Clock;
  /** Makes UIDs and generated names. */
  readonly random: Random;
  /** Whose objects it keeps. Default: {@link OPENKRUISE_CRD}. */
  readonly crd?: ServedCrd;
  /** The store whose versions it shares, as all resources of a cluster share those of one etcd. Default: it has its own. */
  readonly versionsOf?: ObjectStore;
  /** Version of the empty store; the first object gets the next one. Default 1000. */
  readonly firstVersion?: bigint;
  /** How many changes are remembered for watches and paged lists. Default 10,000. */
  readonly historyLimit?: number;
}

/** Every object at one version, ordered by `namespace/name`. */
export interface Snapshot {
  readonly version: bigint;
  readonly items: readonly StoredSandbox[];
}

/** What a backup holds: every object at one version, as etcd's snapshot does. */
export interface SavedStore {
  readonly version: bigint;
  readonly objects: readonly StoredSandbox[];
}

/** What must hold for a write to happen; 409 Conflict otherwise. */
export interface Preconditions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** The part of an object that a write may change: `status` is a subresource of its own. */
export type WriteScope = "main" | "status";

/** Told of every change, synchronously and in order. Must not throw. */
export type StoreListener = (event: StoreEvent) => void;

const SNAPSHOTS_KEPT = 4;
const NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/**
 * The Sandboxes, versioned as etcd and the API server version them: one ever increasing resourceVersion for all,
 * optimistic concurrency, generation, finalizers, and a bounded memory of changes from which watches resume.
 * All methods are synchronous. Stored objects are shared and must not be changed.
 */
export class ObjectStore {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #objects = new Map<ObjectKey, StoredSandbox>();
  readonly #listeners = new Set<StoreListener>();
  readonly #untold: StoreEvent[] = [];
  #telling = false;
  readonly #historyLimit: number;
  #history: StoreHistory;
  readonly #snapshots = new LRUCache<bigint, Snapshot>({ max: SNAPSHOTS_KEPT });
  readonly #versions: { newest: bigint };
  /** Whose objects these are. */
  readonly crd: ServedCrd;

  constructor(options: ObjectStoreOptions) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.crd = options.crd ?? OPENKRUISE_CRD;
    this.#versions = options.versionsOf
      ? options.versionsOf.#versions
      : { newest: options.firstVersion ?? 1000n };
    this.#historyLimit = options.historyLimit ?? 10_000;
    this.#history = new StoreHistory(this.#historyLimit, this.version);
  }

  /** The version of the newest change. */
  get version(): bigint {
    return this.#versions.newest;
  }

  /** Number of objects. */
  get size(): number {
    return this.#objects.size;
  }

  /** The object, or `undefined`. */
  get(namespace: string, name: string): StoredSandbox | undefined {
    return this.#objects.get(objectKey(namespace, name));
  }

  /** All objects in no particular order. */
  values(): IterableIterator<StoredSandbox> {
    return this.#objects.values();
  }

  /** Adds `count` to the version as writes to other resources do: the version moves and no event tells of it. */
  advance(count = 1n): void {
    this.#versions.newest += count;
  }

  /** Forgets the history up to now, as an etcd compaction does. Open watches go on. */
  compact(): void {
    this.#history.compact(this.version);
  }

  /** A backup of this moment, for {@link restore}. */
  save(): SavedStore {
    return { version: this.version, objects: [...this.#objects.values()] };
  }

  /**
   * Goes back to a backup, as `etcdutl snapshot restore` does: objects and version are those of `saved`, and what came later is
   * lost. `bumpRevision` raises the version by so much and compacts up to there (`--bump-revision --mark-compacted`). No
   * listener is told, as no watch is: API servers are to be stopped before and started after it ({@link ApiServer.setOutage}). A store
   * that shares this one's versions goes back to a backup of its own.
   */
  restore(saved: SavedStore, { bumpRevision = 0n }: { readonly bumpRevision?: bigint } = {}): void {
    this.#objects.clear();
    for (const object of saved.objects)
      this.#objects.set(objectKey(object.metadata.namespace, object.metadata.name), object);
    this.#versions.newest = saved.version + bumpRevision;
    this.#snapshots.clear();
    this.#history = new StoreHistory(this.#historyLimit, this.version);
  }

  /**
   * Everything as it was at `version` (default: now).
   * @throws ApiError Expired when that was compacted, Timeout when it is in the future
   */
  snapshot(version: bigint = this.version): Snapshot {
    if (version > this.version) throw tooLargeVersion(version, this.version);
    const newer = this.#history.after(version);
    if (!newer) throw expired(version, this.#history.compactedAt);
    const kept = this.#snapshots.get(version);
    if (kept) return kept;
    const objects = new Map(this.#objects);
    for (const event of newer.toReversed()) {
      const key = objectKey(event.object.metadata.namespace, event.object.metadata.name);
      if (event.previous) objects.set(key, event.previous);
      else objects.delete(key);
    }
    const items = [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    const snapshot = { version, items };
    this.#snapshots.set(version, snapshot);
    return snapshot;
  }

  /**
   * The changes above `version`, oldest first.
   * @throws ApiError Expired when some of them were compacted
   */
  eventsAfter(version: bigint): readonly StoreEvent[] {
    const events = this.#history.after(version);
    if (!events) throw expired(version, this.#history.compactedAt);
    return events;
  }

  /** Tells `listener` of every change from now on; the returned function ends that. */
  subscribe(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Stores a new object. Fills in uid, creationTimestamp, generation and, with `generateName`, a name.
   * @throws ApiError AlreadyExists or Invalid
   */
  create(manifest: SandboxManifest): StoredSandbox {
    const { generateName, ...metadata } = manifest.metadata;
    const generated = typeof generateName === "string" && {
      name: this.#generatedName(generateName),
      generateName,
    };
    const manifested = {
      spec: {},
      ...manifest,
      metadata: {
        ...generated,
        ...metadata,
        uid: randomUuid(this.#random),
        resourceVersion: "0",
        generation: 1,
        creationTimestamp: kubernetesTime(this.#clock.nowMs()),
        deletionTimestamp: undefined,
        deletionGracePeriodSeconds: undefined,
      },
    };
    const sandbox = parseSandbox(manifested, this.crd);
    const { namespace, name } = sandbox.metadata;
    if (this.get(namespace, name)) {
      throw new ApiError("AlreadyExists", `${this.#resourceText(name)} already exists`, this.#details(name));
    }
    return this.#commit("ADDED", sandbox, undefined);
  }

  /**
   * Changes an object: `change` gets a copy to work on. Only what belongs to `scope` is taken over; identity
   * never is. When nothing differs nothing is written, as in Kubernetes. An ending object whose last finalizer
   * goes is deleted.
   * @throws ApiError NotFound, Conflict or Invalid, or whatever `change` throws
   */
  modify(
    namespace: string,
    name: string,
    change: (draft: Sandbox) => Sandbox | void,
    options: { readonly scope?: WriteScope; readonly preconditions?: Preconditions } = {},
  ): StoredSandbox {
    const before = this.#require(namespace, name);
    this.#check(before, options.preconditions);
    const draft = structuredClone(before) as Sandbox;
    const after = parseSandbox(
      keepWhatStays(before, change(draft) ?? draft, options.scope ?? "main"),
      this.crd,
    );
    if (isDeepStrictEqual(before, after)) return before;
    const ends = after.metadata.deletionTimestamp !== undefined && !after.metadata.finalizers?.length;
    return this.#commit(ends ? "DELETED" : "MODIFIED", after, before);
  }

  /**
   * Deletes an object: at once when it has no finalizer; else it gets a deletionTimestamp and goes when its last
   * finalizer does. A second deletion changes nothing.
   * @throws ApiError NotFound or Conflict
   */
  delete(
    namespace: string,
    name: string,
    preconditions?: Preconditions,
  ): { object: StoredSandbox; gone: boolean } {
    const before = this.#require(namespace, name);
    this.#check(before, preconditions);
    const after = structuredClone(before) as Sandbox;
    if (!before.metadata.finalizers?.length)
      return { object: this.#commit("DELETED", after, before), gone: true };
    if (before.metadata.deletionTimestamp !== undefined) return { object: before, gone: false };
    after.metadata.deletionTimestamp = kubernetesTime(this.#clock.nowMs());
    after.metadata.deletionGracePeriodSeconds = 0;
    after.metadata.generation += 1;
    return { object: this.#commit("MODIFIED", after, before), gone: false };
  }

  #require(namespace: string, name: string): StoredSandbox {
    const object = this.get(namespace, name);
    if (!object) throw new ApiError("NotFound", `${this.#resourceText(name)} not found`, this.#details(name));
    return object;
  }

  #check(object: StoredSandbox, preconditions: Preconditions | undefined): void {
    const { name, uid, resourceVersion } = object.metadata;
    if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
      throw this.#conflict(
        name,
        `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid}`,
      );
    }
    if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== resourceVersion) {
      throw this.#conflict(
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
      );
    }
  }

  #conflict(name: string, why: string): ApiError {
    return new ApiError(
      "Conflict",
      `Operation cannot be fulfilled on ${this.#resourceText(name)}: ${why}`,
      this.#details(name),
    );
  }

  #resourceText(name: string): string {
    return `${SANDBOX_RESOURCE}.${this.crd.group} ${JSON.stringify(name)}`;
  }

  #details(name: string): { name: string; group: string; kind: string } {
    return { name, group: this.crd.group, kind: SANDBOX_RESOURCE };
  }

  #commit(type: StoreEvent["type"], object: Sandbox, previous: StoredSandbox | undefined): StoredSandbox {
    this.#versions.newest += 1n;
    object.metadata.resourceVersion = String(this.version);
    const key = objectKey(object.metadata.namespace, object.metadata.name);
    if (type === "DELETED") this.#objects.delete(key);
    else this.#objects.set(key, object);
    const event: StoreEvent = { type, version: this.version, object, previous };
    this.#history.push(event);
    this.#tell(event);
    return object;
  }

  /** A listener may change the store: what that brings is told after what brought it about, to all in one order. */
  #tell(event: StoreEvent): void {
    this.#untold.push(event);
    if (this.#telling) return;
    this.#telling = true;
    try {
      for (let next = this.#untold.shift(); next; next = this.#untold.shift()) {
        for (const listener of this.#listeners) listener(next);
      }
    } finally {
      this.#telling = false;
    }
  }

  #generatedName(prefix: string): string {
    return prefix.slice(0, 58) + randomText(this.#random, 5, NAME_ALPHABET);
  }
}

/** `resourceVersion` of a snapshot or an event, as Kubernetes writes it. */
export function versionText(version: bigint): ResourceVersion {
  return String(version) as ResourceVersion;
}

function keepWhatStays(before: StoredSandbox, draft: Sandbox, scope: WriteScope): Sandbox {
  if (scope === "status") {
    const status = draft.status === undefined ? undefined : { status: draft.status };
    const { status: _, ...rest } = structuredClone(before) as Sandbox;
    return { ...rest, ...status };
  }
  const { status: _, ...rest } = draft;
  const { uid, resourceVersion, generation, creationTimestamp, name, namespace } = before.metadata;
  const { deletionTimestamp, deletionGracePeriodSeconds } = before.metadata;
  const {
    deletionTimestamp: _deletionTimestamp,
    deletionGracePeriodSeconds: _gracePeriod,
    ...metadata
  } = rest.metadata;
  const changed = !isDeepStrictEqual(withoutMetadataAndStatus(before), withoutMetadataAndStatus(rest));
  return {
    ...rest,
    metadata: {
      ...metadata,
      name,
      namespace,
      uid,
      resourceVersion,
      creationTimestamp,
      ...(deletionTimestamp !== undefined && { deletionTimestamp }),
      ...(deletionGracePeriodSeconds !== undefined && { deletionGracePeriodSeconds }),
      generation: changed ? generation + 1 : generation,
    },
    ...(before.status && { status: structuredClone(before.status) as NonNullable<Sandbox["status"]> }),
  };
}

function withoutMetadataAndStatus(sandbox: StoredSandbox): unknown {
  const { metadata: _metadata, status: _status, ...rest } = sandbox;
  return rest;
}

function expired(version: bigint, compactedAt: bigint): ApiError {
  return new ApiError("Expired", `too old resource version: ${version} (${compactedAt})`);
}

/** What Kubernetes answers to a version that it has not reached (a client talks to a restored or lagging server). */
export function tooLargeVersion(version: bigint, current: bigint): ApiError {
  return new ApiError("Timeout", `Too large resource version: ${version}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

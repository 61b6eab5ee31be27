/** A Sandbox as the API server stores it. */
export interface StoredSandbox {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

export interface HistoryEntry {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly version: number;
  readonly object: StoredSandbox;
}

/** What the tests say of a sandbox. */
export interface SandboxFields {
  readonly ip?: string;
  readonly phase?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Replaces or adds whole top-level or metadata fields, to make objects that no projection can read. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly note?: string;
}

/** A tiny etcd: objects of one kind, one version counter, and the history since the last compaction. */
export class ObjectStore {
  version = 1_000;
  compactedAt = 0;
  history: HistoryEntry[] = [];
  readonly objects = new Map<string, StoredSandbox>();
  readonly #listeners = new Set<() => void>();
  #uids = 0;

  /** Creates or replaces; `rest` is everything beside the metadata that the server itself gives. */
  putObject(
    namespace: string,
    name: string,
    rest: {
      readonly apiVersion: string;
      readonly kind: string;
      readonly metadata?: Readonly<Record<string, unknown>>;
      readonly [field: string]: unknown;
    },
  ): StoredSandbox {
    const key = `${namespace}/${name}`;
    const before = this.objects.get(key);
    this.version += 1;
    const object: StoredSandbox = {
      ...rest,
      metadata: {
        namespace,
        name,
        uid: before?.metadata.uid ?? `uid-${++this.#uids}`,
        labels: {},
        managedFields: [{ manager: "controller", note: "kilobytes in real life" }],
        ...rest.metadata,
        resourceVersion: String(this.version),
      },
    };
    this.objects.set(key, object);
    this.#record({ type: before === undefined ? "ADDED" : "MODIFIED", version: this.version, object });
    return object;
  }

  delete(namespace: string, name: string): void {
    const object = this.objects.get(`${namespace}/${name}`);
    if (object === undefined) return;
    this.version += 1;
    this.objects.delete(`${namespace}/${name}`);
    // As Kubernetes: the final state carries the version of the deletion.
    const final = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.version) } };
    this.#record({ type: "DELETED", version: this.version, object: final });
  }

  /** Forgets the history up to now: a watch from before gets 410. */
  compact(): void {
    this.compactedAt = this.version;
    this.history = [];
  }

  /** Back in time, as after a restore from a backup: other objects, at lower versions. */
  restore(version: number): void {
    this.version = version;
    this.objects.clear();
    this.history = [];
    this.compactedAt = version;
  }

  /** `namespace/name` → version of what is in `scope`. */
  contents(scope = ""): Map<string, string> {
    const inScope = [...this.objects.values()].filter((o) => scope === "" || o.metadata.namespace === scope);
    return new Map(
      inScope.map((o) => [`${o.metadata.namespace}/${o.metadata.name}`, o.metadata.resourceVersion]),
    );
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #record(entry: HistoryEntry): void {
    this.history.push(entry);
    for (const listener of this.#listeners) listener();
  }
}

/** An {@link ObjectStore} of Sandboxes. */
export class SandboxStore extends ObjectStore {
  /** Creates or replaces. */
  put(namespace: string, name: string, fields: SandboxFields = {}): StoredSandbox {
    return this.putObject(namespace, name, {
      apiVersion: "agents.kruise.io/v1alpha1",
      kind: "Sandbox",
      metadata: { labels: fields.labels ?? {}, ...fields.metadata },
      spec: { paused: false, note: fields.note ?? "" },
      status: {
        phase: fields.phase ?? "Running",
        conditions: [{ type: "Ready", status: "True" }],
        podInfo: { podIP: fields.ip ?? "10.0.0.1", podUID: "pod-1" },
      },
    });
  }
}

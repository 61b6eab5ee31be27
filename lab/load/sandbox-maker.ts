/** Sends one request to the API server's sandboxes of one namespace; rejects unless the answer is 2xx. */
export type SendToApi = (request: {
  readonly method: "POST" | "PATCH" | "DELETE";
  /** Below the namespace's `sandboxes`: `""`, or `/name`. */
  readonly path: string;
  readonly contentType: string;
  readonly body: unknown;
}) => Promise<unknown>;

/** How a {@link SandboxMaker} works. */
export interface SandboxMakerOptions {
  readonly send: SendToApi;
  /** In the name and the label of everything that it makes. */
  readonly run: string;
  /** What each sandbox is made from; its name, namespace and labels are replaced. */
  readonly manifest: Readonly<Record<string, unknown>>;
  /** In [0, 1). */
  readonly random: () => number;
}

/** The label of every sandbox that a run has made; its value is the run. */
export const RUN_LABEL = "lychgate.dev/load-run";

const API_VERSION = "agents.kruise.io/v1alpha1";

/** Churn in a cluster that is not ours: it makes sandboxes, and pauses, resumes and deletes those alone. */
export class SandboxMaker {
  readonly #options: SandboxMakerOptions;
  /** UID by name of what was made and not deleted. */
  readonly #made = new Map<string, { readonly uid: string; paused: boolean }>();
  readonly #names = new Set<string>();
  readonly #counts = new Map<string, number>();
  #next = 1;

  constructor(options: SandboxMakerOptions) {
    this.#options = options;
  }

  /** True for the name of a sandbox that this run has made, deleted or not. */
  owns(name: string): boolean {
    return this.#names.has(name);
  }

  /** What was done so far. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** Makes one sandbox. Rejects with what the API server said. */
  async make(): Promise<void> {
    const { run, manifest, send } = this.#options;
    const name = `lychgate-load-${run}-${this.#next++}`;
    // Before it is there: the watch may tell of it before the answer does.
    this.#names.add(name);
    const made = await send({
      method: "POST",
      path: "",
      contentType: "application/json",
      body: {
        spec: { paused: false },
        ...manifest,
        apiVersion: API_VERSION,
        kind: "Sandbox",
        metadata: { ...metadataOf(manifest), name, labels: { [RUN_LABEL]: run } },
      },
    });
    const uid = metadataOf(made)["uid"];
    if (typeof uid !== "string")
      throw new Error("the API server's answer to a new Sandbox has no metadata.uid");
    this.#made.set(name, { uid, paused: false });
    this.#count("made");
  }

  /** One change by chance: pauses or resumes one of them, or deletes one and makes another. */
  async change(): Promise<void> {
    const names = [...this.#made.keys()];
    const name = names[Math.floor(this.#options.random() * names.length)];
    const sandbox = name === undefined ? undefined : this.#made.get(name);
    if (name === undefined || !sandbox) return this.make();
    if (this.#options.random() < 0.4) {
      await this.#remove(name, sandbox.uid);
      return this.make();
    }
    sandbox.paused = !sandbox.paused;
    await this.#options.send({
      method: "PATCH",
      path: `/${name}`,
      contentType: "application/merge-patch+json",
      body: { metadata: { uid: sandbox.uid }, spec: { paused: sandbox.paused } },
    });
    this.#count(sandbox.paused ? "paused" : "resumed");
  }

  /** Deletes all that is left; resolves to the names of those that could not be deleted. */
  async removeAll(): Promise<string[]> {
    const left = [...this.#made];
    const ends = await Promise.allSettled(left.map(([name, { uid }]) => this.#remove(name, uid)));
    return left.filter((_, i) => ends[i]?.status === "rejected").map(([name]) => name);
  }

  async #remove(name: string, uid: string): Promise<void> {
    await this.#options.send({
      method: "DELETE",
      path: `/${name}`,
      contentType: "application/json",
      // Should somebody have made another of the same name, it stays.
      body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } },
    });
    this.#made.delete(name);
    this.#count("deleted");
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}

function metadataOf(object: unknown): Readonly<Record<string, unknown>> {
  if (typeof object !== "object" || object === null || !("metadata" in object)) return {};
  const { metadata } = object;
  return typeof metadata === "object" && metadata !== null ? (metadata as Record<string, unknown>) : {};
}

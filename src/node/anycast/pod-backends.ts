import { type Backend, backendState, canonicalAddress } from "./backend.ts";

/** What is asked of a pod; the watch part's `ObservedPod` has it. */
export interface PodView {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly ips: readonly string[];
  readonly ready: boolean;
  readonly terminating: boolean;
  /** Value of the annotation that names the addresses. */
  readonly annotation: string;
}

/**
 * A pod as a backend; `undefined` for one that names no address. Never throws. What stands in the annotation and is no
 * address is left out: the pod's other addresses must not suffer.
 */
export function podBackend(pod: PodView): Backend | undefined {
  const addresses = canonicalAddresses(pod.annotation.split(/[\s,]+/));
  if (addresses.length === 0) return undefined;
  return {
    key: `pod ${pod.namespace}/${pod.name} (${pod.uid})`,
    addresses,
    nexthops: canonicalAddresses(pod.ips),
    state: backendState(pod.ready, pod.terminating),
  };
}

/**
 * The pods of a node, kept up to date by a reflector, as backends. One object satisfies the sink that the watch part
 * asks for; `changed` is called after every change, synchronously.
 */
export class PodBackends {
  readonly #pods = new Map<string, { readonly scope: string; readonly backend: Backend | undefined }>();
  readonly #changed: (backends: readonly Backend[]) => void;
  readonly #live: (live: boolean) => void;
  readonly #synced: () => boolean;
  readonly #deafScopes = new Set<string>();

  /**
   * Before each of `scopes` scopes has been listed nothing is told. `live` is called with whether the API server is heard: of no pod that
   * ends anything is known while it is not.
   */
  constructor(
    changed: (backends: readonly Backend[]) => void,
    scopes: number,
    live: (live: boolean) => void = () => {},
  ) {
    this.#changed = changed;
    this.#live = live;
    const listed = this.#listed;
    this.#synced = () => listed.size >= scopes;
  }

  readonly #listed = new Set<string>();

  /** A whole list of `scope`. */
  relist(scope: string, _version: string, pods: readonly PodView[]): "applied" {
    this.startOver(scope, _version, pods);
    return "applied";
  }

  /** The same. */
  startOver(scope: string, _version: string, pods: readonly PodView[]): void {
    for (const [key, pod] of this.#pods) if (pod.scope === scope) this.#pods.delete(key);
    for (const pod of pods) this.#put(scope, pod);
    this.#listed.add(scope);
    this.#tell();
  }

  /** A pod was added or changed. */
  observe(scope: string, pod: PodView): void {
    this.#put(scope, pod);
    this.#tell();
  }

  /** A pod is gone. */
  remove(_scope: string, namespace: string, name: string): void {
    if (this.#pods.delete(`${namespace}/${name}`)) this.#tell();
  }

  /** Nothing follows from time alone: while the API server is away what is known stays in force. */
  bookmark(): void {}

  /** The API server is heard of `scope`, or is not. What is known stays in force. */
  setLive(scope: string, live: boolean): void {
    if (live) this.#deafScopes.delete(scope);
    else this.#deafScopes.add(scope);
    this.#live(this.#deafScopes.size === 0);
  }

  #put(scope: string, pod: PodView): void {
    this.#pods.set(`${pod.namespace}/${pod.name}`, { scope, backend: podBackend(pod) });
  }

  #tell(): void {
    if (!this.#synced()) return;
    this.#changed([...this.#pods.values()].flatMap(({ backend }) => (backend ? [backend] : [])));
  }
}

function canonicalAddresses(texts: readonly string[]): readonly string[] {
  return [...new Set(texts.flatMap((text) => canonicalAddress(text) ?? []))];
}

import type { Observation } from "../../../src/routes/observation.ts";
import {
  compareResourceVersions,
  NOTHING_SEEN,
  type ResourceVersion,
} from "../../../src/routes/resource-version.ts";
import type { ObservationSink } from "../../../src/watch/observation-sink.ts";

export type SinkCall =
  | { readonly kind: "relist" | "startOver"; readonly version: string; readonly keys: readonly string[] }
  | { readonly kind: "observe" | "remove"; readonly version: string; readonly key: string }
  | { readonly kind: "bookmark"; readonly version: string }
  | { readonly kind: "live"; readonly live: boolean };

/**
 * A sink that keeps what it is told for one scope, and notes as a violation whatever breaks the rules of
 * {@link ObservationSink}.
 */
export class RecordingSink implements ObservationSink {
  readonly calls: SinkCall[] = [];
  readonly violations: string[] = [];
  /** `namespace/name` → version. */
  contents = new Map<string, string>();
  readonly observations = new Map<string, Observation>();
  watermark: ResourceVersion = NOTHING_SEEN;
  live = false;
  /** Set after `stop()` resolved: from then on every call is a violation. */
  closed = false;
  /** Thrown by the next calls of that name. */
  readonly throwOn = new Map<string, number>();
  readonly scope: string;

  constructor(scope = "") {
    this.scope = scope;
  }

  relist(
    scope: string,
    version: ResourceVersion,
    observations: readonly Observation[],
  ): "applied" | "behind" {
    this.#called("relist", scope);
    if (compareResourceVersions(version, this.watermark) < 0) return "behind";
    this.#replace("relist", version, observations);
    return "applied";
  }

  startOver(scope: string, version: ResourceVersion, observations: readonly Observation[]): void {
    this.#called("startOver", scope);
    this.#replace("startOver", version, observations);
  }

  observe(scope: string, observation: Observation): void {
    const key = `${observation.namespace}/${observation.name}`;
    this.calls.push({ kind: "observe", version: observation.resourceVersion, key });
    this.#called("observe", scope);
    this.#advance(observation.resourceVersion, `observe ${key}`);
    this.contents.set(key, observation.resourceVersion);
    this.observations.set(key, observation);
  }

  remove(scope: string, namespace: string, name: string, uid: string, version: ResourceVersion): void {
    this.calls.push({ kind: "remove", version, key: `${namespace}/${name}` });
    this.#called("remove", scope);
    if (uid === "") this.violations.push(`remove of ${namespace}/${name} without a UID`);
    this.#advance(version, `remove ${namespace}/${name}`);
    this.contents.delete(`${namespace}/${name}`);
    this.observations.delete(`${namespace}/${name}`);
  }

  bookmark(scope: string, version: ResourceVersion): void {
    this.calls.push({ kind: "bookmark", version });
    this.#called("bookmark", scope);
    this.#advance(version, "bookmark");
  }

  setLive(scope: string, live: boolean): void {
    this.calls.push({ kind: "live", live });
    this.#called("setLive", scope);
    if (this.live === live) this.violations.push(`setLive(${live}) twice`);
    this.live = live;
  }

  count(kind: SinkCall["kind"]): number {
    return this.calls.filter((call) => call.kind === kind).length;
  }

  /** Versions of the object events that were delivered, in order. */
  delivered(): string[] {
    return this.calls.flatMap((call) =>
      call.kind === "observe" || call.kind === "remove" ? [call.version] : [],
    );
  }

  #called(name: string, scope: string): void {
    if (this.closed) this.violations.push(`${name} after stop`);
    if (scope !== this.scope) this.violations.push(`${name} for scope ${scope}`);
    const left = this.throwOn.get(name) ?? 0;
    if (left === 0) return;
    this.throwOn.set(name, left - 1);
    throw new Error(`the sink's ${name} was made to fail`);
  }

  #replace(
    kind: "relist" | "startOver",
    version: ResourceVersion,
    observations: readonly Observation[],
  ): void {
    const entries = observations.map((o) => [`${o.namespace}/${o.name}`, o] as const);
    this.calls.push({ kind, version, keys: entries.map(([key]) => key) });
    if (new Set(entries.map(([key]) => key)).size !== entries.length)
      this.violations.push("a key listed twice");
    this.watermark = version;
    this.contents = new Map(entries.map(([key, o]) => [key, o.resourceVersion]));
    this.observations.clear();
    for (const [key, observation] of entries) this.observations.set(key, observation);
  }

  #advance(version: ResourceVersion, what: string): void {
    // Only a bookmark may say the same version again.
    const order = compareResourceVersions(version, this.watermark);
    if (what === "bookmark" ? order < 0 : order <= 0) {
      this.violations.push(`${what} at ${version}, not above ${this.watermark}`);
    }
    this.watermark = version;
  }
}
